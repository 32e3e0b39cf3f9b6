"""From the config's strings to the parts of the VAE: the only place where names become objects.

A factor is one string, a name or a call of literals: `conv(32, 64)`, `elbo(beta=linear(0, 1, steps=5000))`. It is read
with `ast`: names from the tables below and literals, nothing else, so no code of the string runs. What the data and the
other fields determine (a decoder's output shape, the latent's size) reaches a factory as keyword-only arguments.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import optax
from jax import Array

from jaxvae import objective
from jaxvae._checks import UsageError, require, shown, whole
from jaxvae.config import Config, optim, sweep
from jaxvae.config.compatibility import check_numbers, refuse_impossible
from jaxvae.config.parsing import add_up, arguments_of, construct, imported, name_of, named, parse, with_argument
from jaxvae.data import corrupt, prepare
from jaxvae.model import codebook, critic, decoder, encoder, likelihood, posterior, prior
from jaxvae.model.support import SUPPORTS
from jaxvae.model.vae import VAE
from jaxvae.step import make_train_step


def by_name(*factories: Callable) -> dict[str, Callable]:
    """{name: factory}."""
    return {factory.__name__: factory for factory in factories}


TABLES: dict[str, dict[str, Callable]] = {
    "prepare": by_name(prepare.binarize, prepare.static, prepare.grey, prepare.dequantize),
    "corrupt": by_name(corrupt.none, corrupt.noise, corrupt.mask, corrupt.salt_and_pepper, corrupt.blur),
    "encoder": by_name(encoder.mlp, encoder.linear, encoder.conv, encoder.resnet, encoder.attention, encoder.conv1d),
    "posterior": by_name(
        posterior.diagonal,
        posterior.full,
        posterior.low_rank,
        posterior.iaf,
        posterior.coupling,
        posterior.vmf,
        posterior.relaxed,
        posterior.point,
        codebook.vq,
        codebook.fsq,
    ),
    "prior": by_name(
        prior.standard,
        prior.gaussian,
        prior.mixture,
        prior.vamp,
        prior.realnvp,
        prior.maf,
        prior.conditional,
        prior.sphere,
        prior.categorical,
        prior.codes,
    ),
    "decoder": by_name(decoder.mlp, decoder.linear, decoder.conv, decoder.resnet, decoder.attention, decoder.conv1d),
    "likelihood": by_name(
        likelihood.bernoulli,
        likelihood.continuous_bernoulli,
        likelihood.gaussian,
        likelihood.laplace,
        likelihood.student_t,
        likelihood.beta,
        likelihood.discretized_logistic,
        likelihood.logistic_mixture,
        likelihood.categorical,
    ),
    "objective": by_name(
        objective.elbo,
        objective.capacity,
        objective.geco,
        objective.iwae,
        objective.miwae,
        objective.ciwae,
        objective.piwae,
        objective.renyi,
        objective.tc,
        objective.reconstruction,
        objective.rae,
        objective.ms_ssim,
    ),
    "term": by_name(
        objective.rate,
        objective.mmd,
        objective.dip_i,
        objective.dip_ii,
        objective.factor,
        objective.aae,
        objective.gan,
    ),
    "optimizer": by_name(optim.adam, optim.adamw, optim.adamax, optim.sgd),
    "schedule": by_name(optim.constant, optim.warmup, optim.cosine),
    "weight": by_name(optim.linear, optim.cyclical, optim.sigmoid),
    "sweep": by_name(sweep.beta, sweep.learning_rate),
}
_FIELDS = {
    "prepare": "data.prepare",
    "corrupt": "data.corrupt",
    "objective": "objective",
    "term": "objective",
    "optimizer": "optimizer.name",
    "schedule": "optimizer.schedule",
    "sweep": "train.sweep",
}


_MADE: dict[str, tuple[Any, tuple[str, ...]]] = {  # what a kind's factory makes, and what that is called with
    "prepare": (prepare.Prepare, ("keys", "batch")),
    "corrupt": (corrupt.Corruption, ("keys", "x")),
    "encoder": (nn.Module, ("x", "condition")),
    "posterior": (nn.Module, ("features", "condition")),
    "prior": (nn.Module, ("infer", "condition")),
    "decoder": (nn.Module, ("z", "condition")),
    "likelihood": (nn.Module, ("features",)),
    "objective": (objective.Objective, ()),
    "term": (objective.Objective, ()),
    "optimizer": (optax.GradientTransformation, ()),
    "schedule": (Callable, ()),
    "sweep": (sweep.Sweep, ()),
}
_HOMES = {  # files not named after their kind
    "prepare": "data/prepare",
    "corrupt": "data/corrupt",
    "objective": "objective/bound",
    "optimizer": "optimizers",
    "schedule": "schedules",
}


@dataclasses.dataclass(frozen=True)
class Parts:
    """Everything a config stands for, built: the model, what is minimised, how, and on what.

    `prepare` makes the x that is scored, encoded and drawn; `corrupted`, None with data.corrupt='none', what a train
    step is given in its place. `shape` is that of an example, (H, W, C); `condition_size`, C of the model's condition
    [B, C], None without one.
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


def register(kind: str, name: str, factory: Callable) -> None:
    """Makes `name(...)` a choice of that kind: encoder, posterior, prior, decoder, likelihood, objective, ...

    `factory` takes the string's literals; keyword-only parameters named like what build knows are filled in:
    `latent_dim`; a decoder's output `shape`; the `dtype` that an encoder or a decoder shall compute in (one without it
    computes in float32, whatever model.precision is), and `remat`, whether it shall have its blocks recomputed (one
    without it is, as a whole); `data_shape`, of x, for a prior; `schedule`, `learning_rate`, `steps` for optimizers and
    schedules. A part is what the files named after its kind show: a Linen module, which says
    of itself what verdict.py asks, or is taken for the simplest.
    """
    if kind not in TABLES:
        raise UsageError(f"register(kind={kind!r}): kind is one of {', '.join(TABLES)}.")
    if not isinstance(name, str) or not name.isidentifier():
        raise UsageError(f"register({kind!r}, {name!r}): a config calls the part by this name; choose one like 'mine'.")
    if not callable(factory):
        raise UsageError(
            f"register({kind!r}, {name!r}): expected a function that builds the part, got {type(factory).__name__}."
        )
    TABLES[kind][name] = factory


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
    """Builds what the config says for examples of this shape, (H, W, C); ValueError, in words, before any array exists.

    `condition`: the number of classes, or the length of the vectors, that the data can condition a model on;
    `examples`: how many there are to train on, which some objectives depend on.
    With trust=False no part is imported from a file ('my_file.py:mine(3)'): for somebody else's config.
    `beta` and `schedule` stand in place of the config's: a traced value, where one program trains several members.
    """
    check_numbers(config)
    model, train = config.model, config.train

    def part(kind: str, text: str, **known) -> Any:
        return read(kind, text, known, trust=trust)

    prepared = conditioned(part("prepare", config.data.prepare), config, condition)
    corruption = part("corrupt", config.data.corrupt)
    corrupted = None if corruption.change is None else corrupt.Corrupted(prepared, corruption)
    px = part("likelihood", model.likelihood)
    features, dtype = (*shape[:-1], features_of(px, shape[-1], model.likelihood)), jnp.dtype(model.precision)
    vae = VAE(
        encoder=part("encoder", model.encoder, dtype=dtype, remat=train.remat),
        posterior=part("posterior", model.posterior, latent_dim=model.latent_dim),
        latent_prior=part("prior", model.prior, latent_dim=model.latent_dim, data_shape=shape),
        decoder=part("decoder", model.decoder, shape=features, dtype=dtype, remat=train.remat),
        likelihood=px,
        remat=train.remat,
    )
    known = {
        "examples": examples,
        "samples": train.samples,
        "critic": critic.dense,
        "image_critic": critic.strided,
    }
    loss = read_sum(config.objective, known, trust=trust, instead={} if beta is None else {"beta": beta})
    refuse_impossible(config, shape, prepared, vae, loss)
    schedule = schedule or part(
        "schedule", config.optimizer.schedule, learning_rate=config.optimizer.learning_rate, steps=train.steps
    )
    optimizer = part("optimizer", config.optimizer.name, schedule=schedule)
    if config.optimizer.clip is not None:
        optimizer = optax.chain(optax.clip_by_global_norm(config.optimizer.clip), optimizer)
    if "critic" in loss.needs:
        optimizer = optim.with_critic(optimizer, config.optimizer.critic_learning_rate)
    step = make_train_step(
        *(vae, loss, optimizer, corrupted or prepared),
        samples=train.samples,
        ema=config.optimizer.ema,
        accumulate=train.accumulate,
    )
    bits, size = bits_of(shape, prepared, px), None if model.condition == "none" else condition
    return Parts(vae, loss, optimizer, schedule, prepared, corrupted, step, bits, shape, size)


def features_of(px: Any, channels: int, text: str) -> int:
    """How many features of a pixel the likelihood needs; ValueError where it is none, or says no number."""
    if getattr(px, "support", None) not in SUPPORTS or not callable(getattr(px, "features", None)):
        raise UsageError(
            f"model.likelihood={text!r}: a {type(px).__name__} is no likelihood; it needs "
            f"`support` ({', '.join(SUPPORTS)}) and a method `features(channels)`, as in jaxvae/likelihood.py."
        )
    return whole(f"model.likelihood={text!r}: features({channels})", px.features(channels))


def conditioned(prepared: prepare.Prepare, config: Config, size: int | None) -> prepare.Prepare:
    """The preparation that also makes the model's condition; ValueError where the data have none."""
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


def bits_of(shape: tuple[int, ...], prepared: prepare.Prepare, px: Any) -> tuple[int, float] | None:
    """(dimensions, bits of a cell) where -log p(x) codes the images: by a probability of them, or a density of
    dequantized ones, whose cells are 2^-8 wide.
    """
    if getattr(px, "mass", False):
        return (math.prod(shape), 0.0) if prepared.support == px.support else None
    return (math.prod(shape), 8.0) if prepared.support == "open" else None


def read(
    kind: str, text: str, known: dict[str, Any], *, trust: bool = True, instead: Mapping[str, Any] | None = None
) -> Any:
    """Builds the part that `text` names; `known` fills the factory's keyword-only parameters of those names.

    `instead` are values that stand in place of the text's own keyword arguments.
    """
    tree, table, where = parsed(kind, text, trust)
    part = construct(tree, kind, table, TABLES["weight"], known, where, instead or {})
    require_part(kind, part, where)
    return part


def read_sum(
    text: str, known: dict[str, Any], *, trust: bool = True, instead: Mapping[str, Any]
) -> objective.Objective:
    """The objective that the text names: one, or a sum of such and of terms, with numbers or schedules in front.

    `elbo() + 0.1 * mmd()`; `known` and `instead` as for `read`, each for the factories that have such an argument.
    """
    tree, table, where = parsed("objective", text, trust)
    table = {**TABLES["objective"], **TABLES["term"], **table}

    def of(node: ast.expr) -> objective.Objective:
        mine = {key: value for key, value in instead.items() if key in arguments_of(table.get(name_of(node)))}
        part = construct(node, "objective", table, TABLES["weight"], known, where, mine)
        require_part("objective", part, where)
        return part

    loss = add_up(tree, of, TABLES["weight"], where)
    names = [name_of(node) for node in named(tree, TABLES["weight"])]
    if all(table[name] is TABLES["term"].get(name) for name in names):
        raise UsageError(
            f"{where}: alone it trains no decoder, it is a term to be added to an objective. "
            f"Choose objective={f'elbo() + {text}'!r}, or {f'reconstruction() + {text}'!r}."
        )
    return loss


def require_part(kind: str, part: Any, where: str) -> None:
    """ValueError where a factory, of somebody's own, built what cannot be such a part."""
    expected, arguments = _MADE[kind]
    if not isinstance(part, expected):
        raise UsageError(
            f"{where}: its function returned a {type(part).__name__}; expected a {expected.__name__}, "
            f"as the parts of jaxvae/{_HOMES.get(kind, kind)}.py are."
        )
    try:
        if arguments:
            inspect.signature(type(part).__call__).bind(part, *arguments)
    except TypeError as error:
        raise UsageError(
            f"{where}: a {type(part).__name__} cannot be called as {kind}({', '.join(arguments)}): {error}."
        ) from None


def parsed(kind: str, text: str, trust: bool) -> tuple[ast.expr, dict[str, Callable], str]:
    """(the text's syntax tree, the factories it may name, how to name the field in a refusal)."""
    field = _FIELDS.get(kind, "model." + kind)
    require(field, text, str)
    where, (file, call) = f"{field}={shown(text)}", file_and_call(text)
    tree = parse(call, where)
    return tree, imported(file, where, trust) if file else TABLES[kind], where


def file_and_call(text: str) -> tuple[str, str]:
    """('my_file.py', 'mine(3)') of 'my_file.py:mine(3)'; the file is '' where none is named."""
    file, colon, call = text.partition(".py:")
    return (f"{file}.py", call) if colon else ("", text)


def with_number(kind: str, text: str, name: str, number: float) -> str:
    """The text with `number` as its argument `name`, of the one call in it that has such; its arguments by keyword.

    ValueError where none or several of its factories have that argument, or the text gives it a schedule.
    """
    tree, table, where = parsed(kind, text, trust=True)
    table = {**TABLES["objective"], **TABLES["term"], **table} if kind == "objective" else table
    file, changed = file_and_call(text)[0], ast.unparse(with_argument(tree, table, name, number, where))
    return f"{file}:{changed}" if file else changed
