"""jaxvae: variational autoencoders in JAX and Flax.

    import jaxvae
    vae = jaxvae.load("runs/digits")
    q = vae.encode(x)                    # q(z|x)
    x = vae.sample(key, 64)              # x ~ p(x|z), z ~ p(z)

jaxvae/model.py is the page to read first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxvae.config import Config
    from jaxvae.config.build import register
    from jaxvae.rundir.run import load
    from jaxvae.training.ensemble.loop import train_members
    from jaxvae.training.loop import train

__version__ = "0.1.0"
__all__ = ["Config", "load", "register", "train", "train_members"]
_HOMES = {
    "Config": "jaxvae.config",
    "load": "jaxvae.rundir.run",
    "register": "jaxvae.config.build",
    "train": "jaxvae.training.loop",
    "train_members": "jaxvae.training.ensemble.loop",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for: `import jaxvae` itself costs next to nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'jaxvae' has no attribute {name!r}; it has {', '.join(__all__)}.")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
