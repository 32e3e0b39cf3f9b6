"""Parts of a config that do not fit together, reported before any array exists.

Parts declare what they can do and need (model/traits.py, `Needs` of an objective); each rule here compares two of them,
so that a new part is judged by what it declares, and an error names both fields and the next move.
"""

from collections.abc import Iterator, Set
from typing import Any, NamedTuple

from jaxvae._checks import UsageError
from jaxvae.config import Config
from jaxvae.data.prepare import Prepare
from jaxvae.model.traits import CONTAINED_IN, Traits, traits_of
from jaxvae.model.vae import VAE
from jaxvae.objective import Needs, Objective
from jaxvae.terms import CAPABILITIES

__all__ = ["USUAL", "check_compatibility", "find_doubts"]

USUAL = {  # space of z -> a posterior and a prior of it, and its points
    "real": ("diagonal", "standard", "real vectors"),
    "sphere": ("vmf", "sphere", "points of the unit sphere"),
    "one-hot": ("relaxed", "categorical", "one-hot vectors"),
    "codes": ("vq", "codes", "codes of a codebook"),
}
_LIKELIHOODS = {  # support of a likelihood -> (what it is, the preparations of such data)
    "binary": (
        "is a probability of the values 0 and 1 only",
        "binarize the images (data.prepare='binarize', or 'static')",
    ),
    "coded": ("is a probability of the 256 coded values k / 255", "keep the coded values (data.prepare='grey')"),
    "open": ("is a density inside (0, 1), infinite or zero at 0 and 1", "dequantize them (data.prepare='dequantize')"),
    "unit": ("is a density of values from 0 to 1", "keep values in [0, 1] (data.prepare='grey')"),
}
_DATA = {  # support of the data -> (what they are, the likelihoods of such data)
    "binary": ("zeros and ones", "'bernoulli'"),
    "coded": (
        "the 256 grey values k / 255",
        "'continuous_bernoulli' (a density of values in [0, 1]) or 'discretized_logistic' (of 256 levels)",
    ),
    "open": ("values strictly between 0 and 1", "'gaussian', 'continuous_bernoulli' or 'beta'"),
    "unit": ("values from 0 to 1", "'continuous_bernoulli' (a density of values in [0, 1]) or 'gaussian'"),
    "real": ("any real values", "'gaussian', 'laplace' or 'student_t'"),
}


class _Choices(NamedTuple):
    """What the rules compare: the traits of the parts, the needs of the objective, the data, and the config."""

    config: Config
    shape: tuple[int, ...]
    support: str
    needs: Needs
    encoder: Traits
    posterior: Traits
    prior: Traits
    decoder: Traits
    likelihood: Traits

    def named(self, part: str) -> str:
        """Returns "model.prior='standard'"."""
        return f"model.{part}={getattr(self.config.model, part)!r}"

    @property
    def objective(self) -> str:
        return f"objective={self.config.objective!r}"


def check_compatibility(config: Config, shape: tuple[int, ...], prepared: Prepare, vae: VAE, loss: Objective) -> None:
    """Raises UsageError for the first two choices that cannot work together."""
    parts = vae.encoder, vae.posterior, vae.latent_prior, vae.decoder, vae.likelihood
    choices = _Choices(config, shape, prepared.support, loss.needs, *map(traits_of, parts))
    for rule in (_data_parts, _latent_parts, _objective):
        for error in rule(choices):
            raise UsageError(error)


def find_doubts(config: Config, prepared: Prepare, likelihood: Any) -> list[str]:
    """Returns a sentence for each choice that works, but is seldom meant."""
    traits = traits_of(likelihood)
    if prepared.support != "binary" or traits.mass:
        return []
    return [
        f"note: model.likelihood={config.model.likelihood!r} is a density, but data.prepare={config.data.prepare!r} "
        "gives zeros and ones: its log p(x) is no log-probability of them. Try model.likelihood='bernoulli', or "
        "data.prepare='dequantize'."
    ]


def _data_parts(c: _Choices) -> Iterator[str]:
    wanted = str(c.likelihood.support)
    if wanted not in CONTAINED_IN[c.support]:
        (what, preparation), (values, likelihoods) = _LIKELIHOODS[wanted], _DATA[c.support]
        yield (
            f"{c.named('likelihood')} {what}, but data.prepare={c.config.data.prepare!r} gives {values}. "
            f"Either {preparation}, or choose model.likelihood={likelihoods}."
        )
    sequence = len(c.shape) == 2 or (len(c.shape) == 3 and c.shape[0] == 1)
    data = f"data.name={c.config.data.name!r} has"
    for name, takes in (("encoder", c.encoder.takes), ("decoder", c.decoder.takes)):
        if takes == "sequences" and not sequence:
            yield (
                f"{c.named(name)} reads sequences [L, C], but {data} images {list(c.shape)}. "
                f"Choose model.{name}='conv(32, 64)'; or pass sequences of several channels "
                "as [N, 1, L, C], x[:, None]."
            )
        if takes == "images" and len(c.shape) != 3:
            yield (
                f"{c.named(name)} reads images [H, W, C], but {data} examples {list(c.shape)}. "
                f"Choose model.{name}='mlp(400)', or 'conv1d(32, 64)' for sequences."
            )
    if "images" in c.needs.data and len(c.shape) != 3:
        yield (
            f"{c.objective} compares images [H, W, C], but {data} examples {list(c.shape)}. "
            "Choose objective='elbo', which compares any data point by point."
        )


def _latent_parts(c: _Choices) -> Iterator[str]:
    space, spaces = c.posterior.space, sorted(c.prior.spaces)
    if space not in spaces:
        _, prior, points = USUAL.get(space, ("", "one of that space", space))
        posteriors = " or ".join(repr(USUAL[each][0]) for each in spaces if each in USUAL)
        densities = " or ".join(USUAL[each][2] if each in USUAL else each for each in spaces)
        yield (
            f"{c.named('posterior')} draws {points}, but {c.named('prior')} is a density of {densities}. "
            f"Choose model.prior={prior!r}, or model.posterior={posteriors or 'one of that space'}."
        )
    if missing := c.prior.needs - c.posterior.all_offers:
        yield (
            f"{c.named('prior')} needs {_list_needs(missing)} of the posterior, which {c.named('posterior')} does not "
            "offer. Choose model.posterior='diagonal', or model.prior='standard'."
        )
    wanted, given = c.prior.condition, c.config.model.condition
    if wanted == "required" and given == "none":
        yield (
            f"{c.named('prior')} depends on a condition, but model.condition='none'. "
            "Choose model.condition='label' (or 'vector'), or model.prior='gaussian'."
        )
    if wanted == "none" and given != "none":
        yield (
            f"{c.named('prior')} has no conditional form, but model.condition={given!r}. "
            "Choose model.prior='conditional', or model.condition='none'."
        )


def _objective(c: _Choices) -> Iterator[str]:
    missing = c.needs.posterior - c.posterior.all_offers
    if "samples" in missing:
        yield (
            f"{c.objective} needs the density of what is drawn, but {c.named('posterior')} has none: its rate would be "
            "a constant. Choose objective='reconstruction', or model.posterior='diagonal'."
        )
    if missing:
        yield (
            f"{c.objective} needs {_list_needs(missing)} of the posterior, which {c.named('posterior')} does not "
            "offer. Choose model.posterior='diagonal', or objective='elbo'."
        )
    if "samples" not in c.needs.posterior and c.prior.learned:
        usual = USUAL[c.posterior.space][1] if c.posterior.space in USUAL else "standard"
        yield (
            f"{c.objective} minimises no rate, so nothing would train {c.named('prior')}. "
            f"Choose model.prior={usual!r}, or objective='elbo'."
        )
    if "factorises" in c.needs.prior and not c.prior.factorises:
        yield (
            f"{c.objective} parts the KL by latent dimensions, but {c.named('prior')} is no product over them. "
            "Choose per='level', or model.prior='standard'."
        )
    if "batch" in c.needs.engine and c.config.data.batch_size < 2:
        yield (
            f"{c.objective} compares the examples of a batch with one another, but "
            f"data.batch_size={c.config.data.batch_size}. Choose data.batch_size=128."
        )
    parts = c.config.train.accumulate
    shows = f"train.accumulate={parts} shows it one part of the batch at a time. Choose train.accumulate=1"
    if parts > 1 and "batch" in c.needs.engine:
        yield f"{c.objective} compares the examples of a batch with one another, but {shows}."
    if parts > 1 and c.likelihood.fits_scale:
        yield (
            f"{c.named('likelihood')} fits its scale to the whole batch before any gradient, but {shows}, or "
            "model.likelihood='gaussian(\"learned\")'."
        )


def _list_needs(needs: Set[str]) -> str:
    return " and ".join(CAPABILITIES[need] for need in sorted(needs))
