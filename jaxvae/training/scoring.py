"""The scores of trained weights on the splits of a data set, each with its standard error and its protocol."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae._checks import UsageError
from jaxvae.config.registry import split_list
from jaxvae.data.pipeline import in_order
from jaxvae.evaluate.bounds import mean_and_stderr, summarize, summarize_from_corrupted
from jaxvae.latent import latent_shape
from jaxvae.model.traits import traits_of
from jaxvae.rundir.results import EVALUATION_SEED, draws_of
from jaxvae.training.setup import Experiment

__all__ = ["protocol", "score"]

_VERSION = 1
_NO_BOUND = {  # the protocol of a model that chooses its z instead of drawing it
    "elbo, log_likelihood, bits_per_dim": "not given: this posterior chooses one z for an image, "
    "where a VAE's draws from a density",
    "rate": "slots x log K, what naming codes costs that are equally probable; of a point 0, by convention",
    "distortion": "-log p(x|z) at the one z of each image",
}
_MEASURED = (
    ", in what the encoder was shown in training. Numbers named from_corrupted are measured so, on one draw per image, "
    "fixed by the seed, and against the clean image; all others from clean inputs"
)
_DROPOUT_SCALE = (
    "sigma of the likelihood is the running root mean square of training batches, dropout on: larger than that of the "
    "same images without dropout"
)


def score(experiment: Experiment, variables: Any, step: int) -> tuple[dict[str, Any], dict[str, dict[str, np.ndarray]]]:
    """Returns (the content of results.json, {split: each example's values}) of these weights, by `config.evaluate`."""
    config, parts, samples = experiment.config, experiment.parts, experiment.config.evaluate.samples
    results: dict[str, Any] = {"version": _VERSION, "protocol": {}, "step": step}
    results["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    values, classes = {}, 1
    if traits_of(parts.model.posterior).space == "one-hot":  # of each latent
        blank = None if parts.condition_size is None else jnp.zeros((1, parts.condition_size))
        classes = latent_shape(parts.model, variables, blank)[-1]
    for name in config.evaluate.splits:
        batches = partial(in_order, experiment.data.splits[name], config.evaluate.batch_size, experiment.layout)
        values[name] = experiment.evaluate(variables, batches(), samples=samples)
        results[name] = summarize(values[name], samples=samples, bits=parts.bits, classes=classes)
        if experiment.evaluate_corrupted:
            results[name] |= summarize_from_corrupted(experiment.evaluate_corrupted(variables, batches()))
        if experiment.metrics:
            measured = experiment.measure(variables, batches())
            if taken := measured.keys() & (results[name].keys() | values[name].keys()):
                raise UsageError(f"evaluate.metrics: {min(taken)!r} is a number of ours; rename that of the metric.")
            results[name] |= {each: mean_and_stderr(array) for each, array in measured.items()}
            values[name] |= measured
    bound = all("elbo" in results[name] for name in config.evaluate.splits)
    results["protocol"] = protocol(experiment, bound=bound)
    for item, metric in zip(split_list(config.evaluate.metrics), experiment.metrics.values(), strict=False):
        results["protocol"][f"metric {item}"] = (metric.__doc__ or "not described").strip().splitlines()[0]
    return results, values


def protocol(experiment: Experiment, *, bound: bool = True) -> dict[str, str]:
    """Returns the texts that say how the numbers were measured; `bound`: whether the model bounds log p(x)."""
    config, prepare, data, model = experiment.config, experiment.parts.prepare, experiment.data, experiment.parts.model
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in data.splits.items())
    sources = "; ".join(f"{name} images are {data.source(name)}" for name in data.splits if name != "train")
    best = "elbo" if bound else "rate + distortion"
    chosen = f"at the best validation {best}" if config.train.patience else "at the last step"
    corrupted = experiment.parts.corrupted
    average = f"averaged over steps (EMA {config.optimizer.ema:g}), " if config.optimizer.ema else ""
    dropout = max(traits_of(model.encoder).dropout, traits_of(model.decoder).dropout)
    fixed = "; scored on one draw per image, fixed by the seed" if prepare.support == "binary" else ""
    density = "densities of values that are no coded pixels: comparable under the same likelihood alone"
    measured = {
        "elbo": "one z per image, KL in closed form where there is one",
        "log_likelihood": "importance-weighted bound (IW-K), K = `samples`, z ~ q(z|x)",
        **({} if experiment.parts.bits else {"bits_per_dim": "not given: " + density}),
    }
    return {
        "data": f"{data.name} {data.version}, fingerprint {data.fingerprint[:12]}",
        "split": f"images: {sizes}; {sources}; a split is scored whole",
        "binarization": prepare.protocol + fixed,
        "draws": draws_of(EVALUATION_SEED),
        **({"scale": _DROPOUT_SCALE} if dropout > 0 and traits_of(model.likelihood).fits_scale else {}),
        **({"corruption": corrupted.corruption.protocol + _MEASURED} if corrupted else {}),
        "weights": average + chosen,
        **(measured if bound else _NO_BOUND),
        "units": "nats: summed over pixels and latents, mean over images; standard errors over images",
        "seed": str(config.train.seed),
    }
