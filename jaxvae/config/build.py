"""Builds everything a config stands for: the model, what is minimised, how, and on what."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax
from jax import Array

from jaxvae import objective
from jaxvae._checks import UsageError, require_whole
from jaxvae.config import Config, optim
from jaxvae.config.compatibility import check_compatibility
from jaxvae.config.registry import build_objective, build_part
from jaxvae.config.schema import check_config
from jaxvae.data import corrupt, prepare
from jaxvae.model import critic
from jaxvae.model.traits import SUPPORTS, traits_of
from jaxvae.model.vae import VAE
from jaxvae.step import make_train_step

__all__ = ["Parts", "build"]


@dataclasses.dataclass(frozen=True)
class Parts:
    """Everything a config stands for, built: the model, what is minimised, how, and on what.

    `prepare` makes the x that is scored, encoded and drawn; `corrupted`, None with data.corrupt='none', replaces it
    in a train step. `shape` is that of an example, (H, W, C); `condition_size` is C of the condition [B, C], or None.
    """

    model: VAE
    objective: objective.Objective
    optimizer: optax.GradientTransformation
    schedule: optax.Schedule
    prepare: prepare.Prepare
    corrupted: corrupt.Corrupted | None
    train_step: Callable
    bits: tuple[int, float] | None  # (dimensions, bits of a pixel's cell) where bits per dimension mean something
    shape: tuple[int, ...]
    condition_size: int | None

    @property
    def prepare_training(self) -> Callable:
        """The preparation that a train step is made with."""
        return self.corrupted or self.prepare


def build(
    config: Config,
    shape: tuple[int, ...],
    *,
    condition: int | None = None,
    examples: int | None = None,
    trust: bool = True,
    beta: Array | None = None,
    schedule: optax.Schedule | None = None,
) -> Parts:
    """Builds the parts of a config; raises UsageError before any array exists.

    Args:
        shape: of an example, (H, W, C) or (L, C).
        condition: the number of classes, or the length of the vectors, that the data can condition a model on.
        examples: the number to train on, which some objectives depend on.
        trust: whether parts may be imported from files ('my_file.py:mine(3)').
        beta: replaces the objective's, by a traced value, where one program trains several members.
        schedule: replaces the optimizer's, likewise.
    """
    check_config(config)
    model, train = config.model, config.train

    def part(kind: str, text: str, **known: Any) -> Any:
        return build_part(kind, text, known, trust=trust)

    prepared = _with_condition(part("prepare", config.data.prepare), config, condition)
    corruption = part("corrupt", config.data.corrupt)
    corrupted = None if corruption.change is None else corrupt.Corrupted(prepared, corruption)
    px, dtype = part("likelihood", model.likelihood), jnp.dtype(model.precision)
    features = (*shape[:-1], _features_of(px, shape[-1], model.likelihood))
    vae = VAE(
        encoder=part("encoder", model.encoder, dtype=dtype, remat=train.remat),
        posterior=part("posterior", model.posterior, latent_dim=model.latent_dim),
        latent_prior=part("prior", model.prior, latent_dim=model.latent_dim, data_shape=shape),
        decoder=part("decoder", model.decoder, shape=features, dtype=dtype, remat=train.remat),
        likelihood=px,
        remat=train.remat,
    )
    known = {"examples": examples, "samples": train.samples, "critic": critic.mlp, "image_critic": critic.conv}
    loss = build_objective(config.objective, known, trust=trust, instead={} if beta is None else {"beta": beta})
    check_compatibility(config, shape, prepared, vae, loss)
    schedule = schedule or part(
        "schedule", config.optimizer.schedule, learning_rate=config.optimizer.learning_rate, steps=train.steps
    )
    optimizer = part("optimizer", config.optimizer.name, schedule=schedule)
    if config.optimizer.clip is not None:
        optimizer = optax.chain(optax.clip_by_global_norm(config.optimizer.clip), optimizer)
    if "critic" in loss.needs.engine:
        optimizer = optim.with_critic(optimizer, config.optimizer.critic_learning_rate)
    numbers = {"samples": train.samples, "ema": config.optimizer.ema, "accumulate": train.accumulate}
    step = make_train_step(vae, loss, optimizer, corrupted or prepared, **numbers)
    bits, size = _bits_of(shape, prepared, px), None if model.condition == "none" else condition
    return Parts(vae, loss, optimizer, schedule, prepared, corrupted, step, bits, shape, size)


def _features_of(px: Any, channels: int, text: str) -> int:
    """Returns how many features of a pixel the likelihood needs; UsageError where it is no likelihood."""
    if traits_of(px).support is None or not callable(getattr(px, "features", None)):
        raise UsageError(
            f"model.likelihood={text!r}: a {type(px).__name__} is no likelihood; it needs `traits = Traits(support=...)"
            f"`, of {', '.join(SUPPORTS)}, and a method `features(channels)`, as in jaxvae/model/likelihood.py."
        )
    return require_whole(f"model.likelihood={text!r}: features({channels})", px.features(channels))


def _with_condition(prepared: prepare.Prepare, config: Config, size: int | None) -> prepare.Prepare:
    """Returns the preparation that also makes the model's condition; UsageError where the data have none."""
    wanted = config.model.condition
    if wanted == "none":
        return prepared
    if size is None:
        raise UsageError(
            f"model.condition={wanted!r} needs labels, but data.name={config.data.name!r} has none that fit. "
            "'label' needs whole numbers [N], 'vector' float vectors [N, C], passed as arrays=(images, labels); "
            "or choose 'none'."
        )
    return dataclasses.replace(prepared, condition=prepare.one_hot(size) if wanted == "label" else prepare.as_vector)


def _bits_of(shape: tuple[int, ...], prepared: prepare.Prepare, px: Any) -> tuple[int, float] | None:
    """Returns (dimensions, bits of a cell) where -log p(x) codes images, as dequantized in cells of 2^-8; else None."""
    coded = traits_of(px).support if traits_of(px).mass else "open"
    return (math.prod(shape), 0.0 if traits_of(px).mass else 8.0) if prepared.support == coded else None
