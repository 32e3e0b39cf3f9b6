"""The evidence lower bound, and constraints on its two parts, rate and distortion."""

import jax.numpy as jnp
from jax import Array, lax

from jaxvae._checks import UsageError, require_choice, require_number, require_positive
from jaxvae.distributions import has_kl_each, kl_each
from jaxvae.objective.base import Loss, Needs, Objective, Weight, bound_metrics, init_stateless, require_weight
from jaxvae.terms import Terms, require_provided

__all__ = ["capacity", "elbo", "geco", "rae", "rate", "reconstruction"]

_MAX_LOG_MULTIPLIER = 10.0  # geco's log-multiplier stays within it: e^10 is no weight any more, but one term alone
_DECAY = 0.95  # of geco's running mean of the constraint, a step


def elbo(beta: Weight = 1.0, free_nats: float = 0.0, per: str = "level") -> Objective:
    """The negative evidence lower bound, E_q[-log p(x|z)] + beta KL(q || p) (arXiv 1312.6114, eq. 3).

    beta = 1 is the bound; another number makes the beta-VAE (Higgins et al. 2017); a schedule, KL warm-up. beta is
    unit-free: the KL is summed over latents, the distortion over pixels, whatever the batch or the data set's size.

    With `free_nats`, the KL of a level (or, with per='dimension', of each latent dimension) counts for no less than so
    many nats: below, nothing presses it further down. It is the mean over the batch that is compared (Kingma et al.
    2016, arXiv 1606.04934, appendix C.8), not each example's. Dimensions need a posterior and a prior that factorise.
    """
    schedule = require_weight("beta", beta)
    free = require_number("free_nats", free_nats, 0)
    require_choice("per", per, ("level", "dimension"))

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        weight = schedule(step)
        distortion, rate = terms.distortion.mean(0), terms.rate.mean(0)
        metrics = {**bound_metrics(terms), "beta": weight}
        if free:
            groups = _kl_per_level(terms) if per == "level" else _kl_per_dimension(terms)
            below = gather(groups[None])[0].mean(0, keepdims=True) < free  # such a group has no gradient
            rate, metrics["free"] = jnp.where(below, free, groups).sum(-1), below.mean()
        return Loss(distortion + weight * rate, memory, metrics)

    needs = Needs(posterior={"samples"})
    if free:
        needs |= Needs(engine={"batch"})
    if free and per == "dimension":
        needs |= Needs(posterior={"each"}, prior={"factorises"})
    return Objective(init_stateless, apply, needs)


def _kl_per_level(terms: Terms) -> Array:
    """Returns the KL of each level, [B, levels], nats."""
    batch = terms.log_px.shape[1]
    return jnp.stack([jnp.broadcast_to(level.kl.mean(0), (batch,)) for level in terms.levels], axis=-1)


def _kl_per_dimension(terms: Terms) -> Array:
    """Returns the KL of each latent dimension, [B, Z] with levels side by side, nats, if q and p factorise."""
    batch, found = terms.log_px.shape[1], []
    for level in terms.levels:
        if not has_kl_each(level.q, level.p):
            names = type(level.q).__name__, type(level.p).__name__
            raise UsageError(
                f"per='dimension': KL({names[0]} || {names[1]}) is no sum over dimensions; choose per='level', or "
                "model.posterior='diagonal' with model.prior='standard'."
            )
        each = kl_each(level.q, level.p).mean(0)
        found.append(jnp.broadcast_to(each, (batch, *each.shape[1:])).reshape(batch, -1))
    return jnp.concatenate(found, axis=-1)


def rate(beta: Weight = 1.0) -> Objective:
    """beta KL(q || p) alone, for sums with a distortion of another kind than -log p(x|z), such as ms_ssim()."""
    schedule = require_weight("beta", beta)

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        weight = schedule(step)
        return Loss(weight * terms.rate.mean(0), memory, {**bound_metrics(terms), "beta": weight})

    return Objective(init_stateless, apply, Needs(posterior={"samples"}))


def capacity(nats: Weight = 25.0, gamma: float = 100.0) -> Objective:
    """E_q[-log p(x|z)] + gamma |KL(q || p) - nats|, the KL's batch mean held at so many nats, which may be a schedule.

    Burgess et al. 2018 (arXiv 1804.03599, section 5): `nats=linear(0, 25, steps=5000)` lets information in by and by.
    """
    schedule = require_weight("nats", nats)
    gamma = require_positive("gamma", gamma)

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        wanted = schedule(step)
        distortion, rate = terms.distortion.mean(0), terms.rate.mean(0)
        above = jnp.sign(gather(rate[None])[0].mean() - wanted)  # of the whole batch: |mean - C| = above (mean - C)
        value = distortion + gamma * above * (rate - wanted)
        return Loss(value, memory, {**bound_metrics(terms), "capacity": wanted})

    return Objective(init_stateless, apply, Needs(posterior={"samples"}, engine={"batch"}))


def geco(distortion: float, speed: float = 0.01) -> Objective:
    """The smallest rate at which the distortion is so many nats: KL(q || p) + m (E_q[-log p(x|z)] - distortion).

    The multiplier m, 1 at first, grows while the distortion's running mean is above and falls while it is below
    (Rezende & Viola 2018, arXiv 1810.00597, algorithm 1): log m moves by `speed` a step, and by less within a nat of
    the constraint. At the optimum m is 1 / beta of the beta-VAE that has this distortion.
    """
    wanted, speed = require_number("distortion", distortion), require_positive("speed", speed)

    def init(key: Array, terms: Terms) -> tuple[dict, dict]:
        return {}, {name: jnp.zeros((), jnp.float32) for name in ("log_multiplier", "constraint", "weight")}

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        multiplier = jnp.exp(memory["log_multiplier"])
        excess = terms.distortion.mean(0) - wanted
        value = terms.rate.mean(0) + multiplier * excess
        metrics = {**bound_metrics(terms), "multiplier": multiplier, "beta": 1 / multiplier}
        return Loss(value, update(memory, excess), metrics)

    def update(memory: dict[str, Array], excess: Array) -> dict[str, Array]:
        # the multiplier depends on earlier batches, which all devices share; the running mean is linear in this one
        mean = memory["constraint"] / jnp.maximum(memory["weight"], 1e-6)
        log_multiplier = memory["log_multiplier"] + speed * jnp.clip(mean, -1, 1)
        return {
            "log_multiplier": jnp.clip(log_multiplier, -_MAX_LOG_MULTIPLIER, _MAX_LOG_MULTIPLIER),
            "constraint": _DECAY * memory["constraint"] + (1 - _DECAY) * lax.stop_gradient(excess.mean()),
            "weight": _DECAY * memory["weight"] + (1 - _DECAY),
        }

    return Objective(init, apply, Needs(posterior={"samples"}))


def reconstruction(commitment: float = 0.25) -> Objective:
    """The distortion alone, E[-log p(x|z)]: of an autoencoder, whose z has no density and so no rate to minimise.

    Where the posterior is a codebook, `commitment` times the squared distance of the encoder's output to its code is
    added (van den Oord et al. 2017, arXiv 1711.00937, eq. 3).
    """
    commitment = require_number("commitment", commitment, 0)

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        metrics = bound_metrics(terms)
        value = metrics["distortion"] + commitment * metrics.get("commitment", 0.0)
        return Loss(value, memory, metrics)

    return Objective(init_stateless, apply)


def rae(code: float = 0.01, decoder: str = "norm", weight: float = 1e-4) -> Objective:
    """The regularized autoencoder, distortion + code |z|^2 / 2 + weight R(decoder).

    Ghosh et al. 2019, arXiv 1903.12436, section 3.
    R by `decoder`: 'norm', the sum of its squared parameters (RAE-L2); 'slope', |dx/dz|^2, the squared
    Jacobian of the decoded mean (RAE-GP), estimated without bias by one random projection; 'none', where the decoder is
    held otherwise, by its own `spectral` bound (RAE-SN). z is a point: for model.posterior='point'.
    """
    code, weight = require_number("code", code, 0), require_number("weight", weight, 0)
    require_choice("decoder", decoder, ("norm", "slope", "none"))

    def apply(params, memory, terms: Terms, *, key, step, gather) -> Loss:
        metrics = bound_metrics(terms)
        squares = (jnp.square(level.z).reshape(*level.z.shape[:2], -1).sum(-1) for level in terms.levels)
        size = 0.5 * sum(squares, start=jnp.zeros((1, 1))).mean(0)
        value = metrics["distortion"] + code * size
        if decoder != "none":
            value = value + weight * require_provided(metrics.get(f"decoder_{decoder}"), decoder)
        return Loss(value, memory, {**metrics, "code_norm": size})

    return Objective(init_stateless, apply, Needs(posterior={"continuous"}, model={decoder} - {"none"}))
