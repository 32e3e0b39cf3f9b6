"""What of a config cannot work, said before any array exists: numbers out of range, and parts that do not fit together.

Parts declare what they can do and need (model/traits.py, `Needs` of an objective); each rule here compares two of them,
so that a new part is judged by what it declares, and an error names both fields and the next move.
"""

from __future__ import annotations

from collections.abc import Iterator, Set

from jaxvae._checks import INT32_MAX, UsageError
from jaxvae.config import Config
from jaxvae.config.schema import check_fields
from jaxvae.data.prepare import Prepare
from jaxvae.model.traits import CONTAINED_IN, traits_of
from jaxvae.model.vae import VAE
from jaxvae.objective import Objective
from jaxvae.terms import CAPABILITIES

__all__ = ["USUAL", "check_compatibility", "check_config"]

_OTHER_DATA = {  # support of the likelihood -> the preparations that give it
    "binary": "binarize the images (data.prepare='binarize', or 'static')",
    "coded": "keep the coded values (data.prepare='grey')",
    "open": "dequantize them (data.prepare='dequantize')",
    "unit": "keep values in [0, 1] (data.prepare='grey')",
}
_OTHER_LIKELIHOODS = {  # support of the data -> the likelihoods of such data
    "binary": "'bernoulli'",
    "coded": "'continuous_bernoulli' (a density of values in [0, 1]) or 'discretized_logistic' (of 256 levels)",
    "open": "'gaussian', 'continuous_bernoulli' or 'beta'",
    "unit": "'continuous_bernoulli' (a density of values in [0, 1]) or 'gaussian'",
    "real": "'gaussian', 'laplace' or 'student_t'",
}
_GIVES = {  # support of the data -> what they hold
    "binary": "gives zeros and ones",
    "coded": "gives the 256 grey values k / 255",
    "open": "gives values strictly between 0 and 1",
    "unit": "gives values from 0 to 1",
    "real": "gives any real values",
}
USUAL = {  # space of z -> a posterior and a prior of it
    "real": ("diagonal", "standard"),
    "sphere": ("vmf", "sphere"),
    "one-hot": ("relaxed", "categorical"),
    "codes": ("vq", "codes"),
}
_NAMES = {
    "real": "real vectors",
    "sphere": "points of the unit sphere",
    "one-hot": "one-hot vectors",
    "codes": "codes of a codebook",
}


def check_compatibility(config: Config, shape: tuple[int, ...], prepared: Prepare, vae: VAE, loss: Objective) -> None:
    """Raises ValueError for the first pair of choices that cannot work together."""
    rules = (
        _data_and_likelihood(config, prepared, vae),
        _posterior_and_prior(config, vae),
        _objective_and_posterior(config, vae, loss),
        _objective_and_prior(config, vae, loss),
        _objective_and_batch(config, loss),
        _condition_and_prior(config, vae),
        _networks_and_data(config, shape, vae, loss),
        _accumulation(config, vae, loss),
    )
    for refusals in rules:
        for refusal in refusals:
            raise UsageError(refusal)


def _data_and_likelihood(config: Config, prepared: Prepare, vae: VAE) -> Iterator[str]:
    wanted, given = str(traits_of(vae.likelihood).support), prepared.support
    if wanted in CONTAINED_IN[given]:
        return
    why = {
        "binary": "is a probability of the values 0 and 1 only",
        "coded": "is a probability of the 256 coded values k / 255",
        "open": "is a density inside (0, 1), infinite or zero at 0 and 1",
        "unit": "is a density of values from 0 to 1",
    }[wanted]
    yield (
        f"model.likelihood={config.model.likelihood!r} {why}, but data.prepare={config.data.prepare!r} {_GIVES[given]}"
        f". Either {_OTHER_DATA[wanted]}, or choose model.likelihood={_OTHER_LIKELIHOODS[given]}."
    )


def _posterior_and_prior(config: Config, vae: VAE) -> Iterator[str]:
    q, p = traits_of(vae.posterior), traits_of(vae.latent_prior)
    space, spaces = q.space, p.spaces
    both = f"model.posterior={config.model.posterior!r}", f"model.prior={config.model.prior!r}"
    if space not in spaces:
        prior = USUAL[space][1] if space in USUAL else "one of that space"
        posteriors = " or ".join(repr(USUAL[each][0]) for each in sorted(spaces) if each in USUAL)
        yield (
            f"{both[0]} draws {_NAMES.get(space, space)}, but {both[1]} is a density of "
            f"{' or '.join(_NAMES.get(each, each) for each in sorted(spaces))}. "
            f"Choose model.prior={prior!r}, or model.posterior={posteriors or 'one of that space'}."
        )
    missing = p.needs - q.all_offers
    if missing:
        yield (
            f"{both[1]} needs {_in_words(missing)} of the posterior, which {both[0]} does not offer. "
            "Choose model.posterior='diagonal', or model.prior='standard'."
        )


def _objective_and_posterior(config: Config, vae: VAE, loss: Objective) -> Iterator[str]:
    missing = loss.needs.posterior - traits_of(vae.posterior).all_offers
    if not missing:
        return
    both = f"objective={config.objective!r}", f"model.posterior={config.model.posterior!r}"
    if "samples" in missing:
        yield (
            f"{both[0]} needs the density of what is drawn, but {both[1]} has none: its rate would be a constant. "
            "Choose objective='reconstruction', or model.posterior='diagonal'."
        )
    yield (
        f"{both[0]} needs {_in_words(missing)} of the posterior, which {both[1]} does not offer; "
        "model.posterior='diagonal' does, or choose objective='elbo'."
    )


def _objective_and_prior(config: Config, vae: VAE, loss: Objective) -> Iterator[str]:
    q, p = traits_of(vae.posterior), traits_of(vae.latent_prior)
    if "samples" not in loss.needs.posterior and p.learned:
        usual = USUAL[q.space][1] if q.space in USUAL else "standard"
        yield (
            f"objective={config.objective!r} minimises no rate, so nothing would train "
            f"model.prior={config.model.prior!r}. Choose model.prior={usual!r}, or objective='elbo'."
        )
    if "factorises" in loss.needs.prior and not p.factorises:
        yield (
            f"objective={config.objective!r} parts the KL by latent dimensions, but model.prior={config.model.prior!r} "
            "is no product over them. Choose per='level', or model.prior='standard'."
        )


def _objective_and_batch(config: Config, loss: Objective) -> Iterator[str]:
    if "batch" in loss.needs.engine and config.data.batch_size < 2:
        yield (
            f"objective={config.objective!r} compares the examples of a batch with one another, but "
            f"data.batch_size={config.data.batch_size}. Choose data.batch_size=128."
        )


def _condition_and_prior(config: Config, vae: VAE) -> Iterator[str]:
    wanted, given = traits_of(vae.latent_prior).condition, config.model.condition
    if wanted == "required" and given == "none":
        yield (
            f"model.prior={config.model.prior!r} depends on a condition, but model.condition='none'. "
            "Choose model.condition='label' (or 'vector'), or model.prior='gaussian'."
        )
    if wanted == "none" and given != "none":
        yield (
            f"model.prior={config.model.prior!r} has no conditional form, but model.condition={given!r}. "
            "Choose model.prior='conditional', or model.condition='none'."
        )


def _networks_and_data(config: Config, shape: tuple[int, ...], vae: VAE, loss: Objective) -> Iterator[str]:
    sequence = len(shape) == 2 or (len(shape) == 3 and shape[0] == 1)
    networks = ("encoder", config.model.encoder, vae.encoder), ("decoder", config.model.decoder, vae.decoder)
    for name, text, network in networks:
        takes, where = traits_of(network).takes, f"model.{name}={text!r}"
        if takes == "sequences" and not sequence:
            yield (
                f"{where} reads sequences [L, C], but data.name={config.data.name!r} has images {list(shape)}. "
                f"Choose model.{name}='conv(32, 64)'."
            )
        if takes == "images" and len(shape) != 3:
            yield (
                f"{where} reads images [H, W, C], but data.name={config.data.name!r} has examples {list(shape)}. "
                f"Choose model.{name}='mlp(400)', or 'conv1d(32, 64)' for sequences."
            )
    if "images" in loss.needs.data and len(shape) != 3:
        yield (
            f"objective={config.objective!r} compares images [H, W, C], but data.name={config.data.name!r} has "
            f"examples {list(shape)}. Choose objective='elbo', which compares any data point by point."
        )


def _accumulation(config: Config, vae: VAE, loss: Objective) -> Iterator[str]:
    parts = config.train.accumulate
    if parts == 1:
        return
    if "batch" in loss.needs.engine:
        yield (
            f"objective={config.objective!r} compares the examples of a batch with one another, but "
            f"train.accumulate={parts} shows it one part of the batch at a time. Choose train.accumulate=1."
        )
    if traits_of(vae.likelihood).fits_scale:
        yield (
            f"model.likelihood={config.model.likelihood!r} fits its scale to the whole batch before any gradient, but "
            f"train.accumulate={parts} shows it one part of the batch at a time. Choose train.accumulate=1, or "
            "model.likelihood='gaussian(\"learned\")'."
        )


def _in_words(needs: Set[str]) -> str:
    return " and ".join(CAPABILITIES[need] for need in sorted(needs))


def check_config(config: Config) -> None:
    """Raises UsageError for the first field outside its range or choices, or two numbers that do not go together."""
    check_fields(config)
    parts, rows, samples = config.train.accumulate, config.data.batch_size, config.train.samples
    if rows % parts:
        raise UsageError(
            f"train.accumulate={parts} cuts a batch into equal parts, but data.batch_size={rows} is no multiple of it. "
            f"Choose data.batch_size={max(rows // parts, 1) * parts}."
        )
    if samples * rows > INT32_MAX:
        raise UsageError(
            f"train.samples={samples:,} draws for each of data.batch_size={rows:,} images are {samples * rows:,} a "
            f"step; choose fewer of either, so that they are at most {INT32_MAX:,}."
        )
