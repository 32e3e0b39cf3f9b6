"""The catalogue of parts, docs/parts.md, made from the registry, the factories' docstrings and the compatibility rules.

python -m tools.parts_page > docs/parts.md
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from jaxvae._checks import UsageError
from jaxvae.config import Config, Data, Model, Train
from jaxvae.config.build import build
from jaxvae.config.compatibility import USUAL
from jaxvae.config.parsing import parameter_names
from jaxvae.config.registry import TABLES, build_part
from jaxvae.config.schema import CONDITIONS
from jaxvae.model.traits import traits_of

__all__ = ["EXAMPLES", "EXAMPLE_COUNT", "SHAPE", "catalogue", "config_of", "example_text", "refusal"]

SHAPE = (8, 8, 1)
EXAMPLE_COUNT = 1000  # of training examples, for objectives that depend on it
EXAMPLES: dict[str, dict[str, str]] = {  # of parts that need arguments, or are large without
    "encoder": {
        "mlp": "mlp(16)",
        "conv": "conv(4, 8, dense=16)",
        "resnet": "resnet(4, 8, dense=16)",
        "conv1d": "conv1d(4, 8, dense=16)",
    },
    "decoder": {
        "mlp": "mlp(16)",
        "conv": "conv(8, 4, dense=16)",
        "resnet": "resnet(8, 4, dense=16)",
        "conv1d": "conv1d(8, 4, dense=16)",
    },
    "schedule": {"warmup": "warmup(100)"},
    "objective": {"geco": "geco(20.0)"},
}
_TITLES = {
    "posterior": "Posteriors q(z|x)",
    "prior": "Priors p(z)",
    "likelihood": "Likelihoods p(x|z)",
    "encoder": "Encoders x -> features",
    "decoder": "Decoders z -> features of p(x|z)",
    "objective": "Objectives",
    "term": "Terms, to be added to an objective, as in `elbo() + 0.1 * mmd()`",
    "prepare": "Preparations of the data (data.prepare)",
    "corrupt": "Corruptions of what the encoder is shown in training (data.corrupt)",
    "optimizer": "Optimizers (optimizer.name)",
    "schedule": "Learning rates (optimizer.schedule)",
    "weight": "Weights, inside an objective's string",
}
_PREPARATIONS = {"binary": "binarize", "coded": "grey", "open": "dequantize", "unit": "grey", "real": "dequantize"}
_PARTNERS = {  # kind -> the kinds whose choices it may refuse
    "posterior": ("prior", "objective", "term"),
    "prior": ("posterior", "objective", "term"),
    "likelihood": ("prepare",),
    "prepare": ("likelihood",),
    "objective": ("posterior", "prior"),
    "term": ("posterior", "prior"),
}


def example_text(kind: str, text: str) -> str:
    """Returns a string that builds this part: the text, or a call with arguments for a name that needs them."""
    return EXAMPLES.get(kind, {}).get(text, text)


def _part(kind: str, text: str) -> Any:
    """Returns the part alone, built as in `config_of`."""
    return build_part(kind, example_text(kind, text), {"latent_dim": 2, "data_shape": SHAPE})


def config_of(
    posterior: str | None = None,
    prior: str | None = None,
    likelihood: str = "bernoulli",
    encoder: str = "mlp",
    prepare: str | None = None,
    objective: str | None = None,
    decoder: str | None = None,
    term: str | None = None,
) -> Config:
    """Returns a small config of these parts, names or calls; parts not given are chosen to fit the others.

    A `term` is added to the objective.
    """
    spaces = traits_of(_part("prior", prior)).spaces if prior else ["real"]
    posterior = posterior or USUAL["real" if "real" in spaces else min(spaces)][0]
    q = traits_of(_part("posterior", posterior))
    prior = prior or USUAL[q.space][1]
    p = traits_of(_part("prior", prior))
    support = str(traits_of(_part("likelihood", likelihood)).support)
    objective = objective or ("elbo" if "samples" in q.offers else "reconstruction")
    return Config(
        data=Data(batch_size=16, prepare=prepare or _PREPARATIONS[support]),
        model=Model(
            latent_dim=2,
            encoder=example_text("encoder", encoder),
            posterior=example_text("posterior", posterior),
            prior=example_text("prior", prior),
            decoder=example_text("decoder", decoder or encoder),
            likelihood=example_text("likelihood", likelihood),
            condition="label" if p.condition == "required" else "none",
        ),
        objective=example_text("objective", objective) + (f" + {example_text('term', term)}" if term else ""),
        train=Train(steps=100, samples=4 if "samples" in parameter_names(_factory("objective", objective)) else 1),
    )


def _factory(kind: str, text: str) -> Callable | None:
    """Returns the factory of a name or of a call; None for an unknown name."""
    return TABLES[kind].get(text.partition("(")[0])


def refusal(config: Config, shape: tuple[int, ...] = SHAPE) -> str | None:
    """Returns the message with which `build` refuses the config; None if it accepts it."""
    try:
        build(config, shape, condition=3, examples=EXAMPLE_COUNT)
    except UsageError as error:
        return str(error)
    return None


def catalogue() -> str:
    """Returns the whole page, in markdown."""
    lines = [
        "# Every part",
        "",
        "Made by `python -m tools.parts_page`; do not edit. A part is one string in a config, a name or a call, as in",
        "`--config.model.posterior='iaf(steps=4)'`. What a part does not go with is refused before anything is made,",
        "by a sentence that names both fields and the next move. Your own parts: see the README.",
        "",
        f"Conditions (`model.condition`): {', '.join(CONDITIONS)}.",
    ]
    for kind, title in _TITLES.items():
        lines += ["", f"## {title}", ""]
        for name in TABLES[kind]:
            lines += list(_entry(kind, name))
    return "\n".join(lines) + "\n"


def _entry(kind: str, name: str) -> Iterator[str]:
    """Yields the lines of one part."""
    factory = TABLES[kind][name]
    yield f"### `{name}{_signature(factory)}`"
    yield ""
    yield inspect.getdoc(factory) or ""
    yield ""
    for other in _PARTNERS.get(kind, ()):
        refused = [
            partner for partner in TABLES[other] if refusal(config_of(**{kind: name, other: partner})) is not None
        ]
        if refused:
            yield f"Not with {other}: {', '.join(f'`{partner}`' for partner in refused)}."
            yield ""


def _signature(factory: Callable) -> str:
    """Returns the arguments that a config string may give."""
    known = {"latent_dim", "shape", "data_shape", "dtype", "remat", "schedule", "learning_rate"}
    known |= {"examples", "samples", "critic", "image_critic"}
    if factory in TABLES["schedule"].values():
        known |= {"steps"}
    parameters = inspect.signature(factory).parameters
    shown = [
        parameter.replace(annotation=parameter.empty)
        for name, parameter in parameters.items()
        if not (name in known and parameter.kind is parameter.KEYWORD_ONLY)
    ]
    return str(inspect.Signature(shown))


if __name__ == "__main__":
    print(catalogue(), end="")
