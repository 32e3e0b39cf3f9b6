"""jaxvae: variational autoencoders in JAX and Flax.

    import jaxvae
    vae = jaxvae.load("runs/digits")
    q = vae.encode(x)                    # q(z|x)
    x = vae.sample(key, 64)              # x ~ p(x|z), z ~ p(z)

jaxvae/model/vae.py is the page to read first.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxvae._checks import UsageError
    from jaxvae.config.registry import register
    from jaxvae.config.schema import Config
    from jaxvae.rundir.run import load
    from jaxvae.training.ensemble.train import train_members
    from jaxvae.training.train import train

__version__ = "0.1.0"
__all__ = ["Config", "UsageError", "load", "register", "train", "train_members"]
_HOMES = {
    "Config": "jaxvae.config.schema",
    "UsageError": "jaxvae._checks",
    "load": "jaxvae.rundir.run",
    "register": "jaxvae.config.registry",
    "train": "jaxvae.training.train",
    "train_members": "jaxvae.training.ensemble.train",
}
_MODULES = {name: f"jaxvae.model.{name}" for name in ("encoder", "posterior", "prior", "decoder", "likelihood")}
_MODULES |= {
    name: f"jaxvae.{name}"
    for name in (
        *("distributions", "terms", "model", "objective", "step", "evaluate", "latent"),
        *("runtime", "data", "config", "rundir", "viz", "training", "cli"),
    )
}


def __getattr__(name: str) -> Any:
    """Imports a public name or a module when it is first used, so that `import jaxvae` costs little."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'jaxvae' has no attribute {name!r}; it has {', '.join((*__all__, *_MODULES))}.")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
