"""The variational autoencoder.

    log p(x)  >=  E_{q(z|x)} [ log p(x|z) + log p(z) - log q(z|x) ]

Five parts, each chosen on its own: encoder and posterior make q(z|x), prior makes p(z), decoder and likelihood make
p(x|z). `terms` returns the pieces of the bound; objectives and evaluations combine them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax, random

from jaxvae.distributions import draw_each
from jaxvae.model.layers import apply_folded, call_module, maybe_remat
from jaxvae.model.reparameterize import draw, draw_gated, draw_relaxed
from jaxvae.model.traits import require_traits, traits_of
from jaxvae.terms import Level, Terms

__all__ = ["VAE"]

_ENCODER, _DECODER, _SLOPE, _GENERATED = 1, 2, 3, 4  # folded into the keys of z, for other draws


class VAE(nn.Module):
    """A VAE with one latent variable; shapes as in terms.py. Use through `init` and `apply`, as any Linen module.

    The train step alone sets `training`: dropout is on, a discrete z is relaxed, and variables (a codebook, a running
    scale) are updated. It does not change `init`'s parameters. With `remat` the backward pass computes a network's
    activations again: block by block if the network has a field `remat`, else all of them.
    `objective_needs`, also set by the train step, names what the terms must hold for the objective: a 'gate' in the
    draw of z, the decoder's 'slope' or 'norm' in `extra`, or 'generated', p(x|z) at draws of the prior. With
    'detached' these, and p(x|z) once more, have no gradient through z.
    `draw_weights`, of an objective with several weighted draws, are for a likelihood that fits its scale.
    """

    encoder: nn.Module
    posterior: nn.Module
    latent_prior: nn.Module
    decoder: nn.Module
    likelihood: nn.Module
    training: bool = False
    remat: bool = False
    objective_needs: frozenset[str] = frozenset()
    draw_weights: Callable[[Array], Array] | None = None

    def __post_init__(self) -> None:
        for name in ("encoder", "posterior", "latent_prior", "decoder", "likelihood"):
            require_traits(f"VAE: {name}", getattr(self, name))
        super().__post_init__()

    def __call__(self, keys: Array, x: Array, condition: Array | None = None, *, target: Array | None = None) -> Terms:
        """Returns the terms of the bound at x [B, *X] with keys [S, B], scored against `target` (default: x itself)."""
        inferred = self.infer(x, condition, keys=_fold_in(keys, _ENCODER)[0] if self.training else None)
        return self.terms(keys, inferred, x if target is None else target, condition)

    def infer(self, x: Array, condition: Array | None = None, *, keys: Array | None = None) -> Any:
        """Returns q(z|x) for x [B, *X], leaves [1, B, *Z]: the encoder runs once per image.

        `condition` [B, C] is a one-hot class or a vector; `keys [B]` are for dropout in training.
        """
        dropout = (keys,) if self._drops_out(self.encoder) and keys is not None else ()
        features = maybe_remat(self._remat_whole(self.encoder), call_module)(self.encoder, x, condition, *dropout)
        return self.posterior(features, condition)

    def terms(self, keys: Array, inferred: Any, x: Array, condition: Array | None = None) -> Terms:
        """Draws z ~ q with keys [S, B] and scores x [B, *X] under it."""
        q, p = inferred, self.prior(condition)
        traits = traits_of(self.posterior)
        relaxed = self.training and traits.relaxed
        draw_level = draw_relaxed if relaxed else draw_gated if "gate" in self.objective_needs else draw
        level = draw_level(keys, q=q, p=p)
        if self.training and traits.renewed:
            self.posterior.renew(q)
        dropout = _fold_in(keys, _DECODER) if self.training else None
        weigh = partial(_weigh_draws, self.draw_weights, level) if self.draw_weights else None
        px = self.decode((level.z,), condition, keys=dropout, x=x, weigh=weigh)
        log_px = px.log_prob(x[None])
        extra: dict[str, Array] = q.extra() if traits.extra else {}
        if "slope" in self.objective_needs:
            extra["decoder_slope"] = self._squared_jacobian(keys, level.z, condition)
        if "norm" in self.objective_needs:
            squares = jax.tree.map(lambda leaf: jnp.square(leaf).sum(), self.decoder.variables["params"])
            extra["decoder_norm"] = sum(jax.tree.leaves(squares), start=jnp.zeros(()))
        extra = {name: jnp.broadcast_to(value, log_px.shape) for name, value in extra.items()}
        bound, generated, detached = not relaxed and "samples" in traits.offers, None, None
        if "generated" in self.objective_needs:
            zs, generated = self.generate(_fold_in(keys, _GENERATED)[0], condition)
            if "detached" in self.objective_needs:
                generated = self.decode(lax.stop_gradient(zs), condition)
        if "detached" in self.objective_needs:
            detached = self.decode((lax.stop_gradient(level.z),), condition, keys=dropout)
        return Terms(
            x=x[None],
            px=px,
            log_px=log_px,
            levels=(level,),
            extra=extra,
            bound=bound,
            generated=generated,
            detached=detached,
        )

    def prior(self, condition: Array | None = None) -> Any:
        """Returns p(z), leaves [1, 1, *Z], or [1, B, *Z] where it depends on the condition."""
        return self.latent_prior(self.infer, condition)

    def decode(
        self,
        zs: tuple[Array, ...],
        condition: Array | None = None,
        *,
        keys: Array | None = None,
        x: Array | None = None,
        weigh: Callable[[Array], Array] | None = None,
    ) -> Any:
        """Returns p(x|z) for zs = (z [S, B, *Z],), over [S, B, *X].

        In training, `keys [S, B]` are for dropout, and x [B, *X] is for a likelihood that fits its scale to the data:
        over draws that `weigh` weighs, a function from log p(x|z) [S, B] to their weights.
        """
        (z,) = zs
        condition = _expand_condition(condition, z)
        dropout = (keys,) if self._drops_out(self.decoder) and keys is not None else ()
        network = partial(maybe_remat(self._remat_whole(self.decoder), call_module), self.decoder)
        features = apply_folded(network, z, condition, *dropout)
        traits = traits_of(self.likelihood)
        if x is None or not self.training or not traits.fits_scale:
            return self.likelihood(features)
        weights = (weigh,) if weigh and traits.weighs_draws else ()
        return self.likelihood(features, x[None], *weights)

    def log_joint(self, zs: tuple[Array, ...], x: Array, condition: Array | None = None) -> Array:
        """Returns log p(x, z) = log p(x|z) + log p(z), [S, B], nats, for x [B, *X]."""
        (z,) = zs
        return self.decode(zs, condition).log_prob(x[None]) + self.prior(condition).log_prob(z)

    def generate(
        self,
        keys: Array,
        condition: Array | None = None,
        *,
        temperature: float | Array = 1.0,
        given: tuple[Array, ...] = (),
    ) -> tuple[tuple[Array, ...], Any]:
        """Returns (zs, p(x|z)) for z ~ p(z) with keys [N], scaled by `temperature`; or for z `given`, [1, N, *Z]."""
        zs = given or (self.prior(condition).sample(keys[None], temperature),)
        return zs, self.decode(zs, condition)

    def _squared_jacobian(self, keys: Array, z: Array, condition: Array | None) -> Array:
        """Returns |dx/dz|^2 of p(x|z)'s mean, [S, B]: E |u' dx/dz|^2 for u ~ N(0, I), one draw (Hutchinson 1990)."""

        # unbound, as pure functions of z: Linen's vjp refuses modules whose submodules are arguments
        (network, of_network), (head, of_head) = self.decoder.unbind(), self.likelihood.unbind()

        def mean(z: Array) -> Array:
            def decoded(*args: Array) -> Any:
                return network.apply(of_network, *args)

            px: Any = head.apply(of_head, apply_folded(decoded, z, _expand_condition(condition, z)))
            return px.mean()

        x, pull_back = jax.vjp(mean, z)
        u = draw_each(random.normal, _fold_in(keys, _SLOPE), x.shape, x.ndim - 2)
        (slope,) = pull_back(u)
        return jnp.square(slope).reshape(*z.shape[:2], -1).sum(-1)

    def _remat_whole(self, network: nn.Module) -> bool:
        """Returns whether all of the network is recomputed: one whose traits have `remat` recomputes its own blocks."""
        return self.remat and not traits_of(network).remat

    def _drops_out(self, network: nn.Module) -> bool:
        return self.training and traits_of(network).dropout > 0


def _expand_condition(condition: Array | None, z: Array) -> Array | None:
    """Returns the condition [B, C] for every draw z [S, B, *Z]: [S, B, C]."""
    return None if condition is None else jnp.broadcast_to(condition[None], (*z.shape[:2], condition.shape[-1]))


def _weigh_draws(draw_weights: Callable[[Array], Array], level: Level, log_px: Array) -> Array:
    """Returns the weights of the level's draws, [S, B], by log p(x|z), [S, B]."""
    return draw_weights(lax.stop_gradient(log_px + level.log_p - level.log_q))


def _fold_in(keys: Array, purpose: int) -> Array:
    """Returns keys [S, B] for a purpose other than the draw of z."""
    return jax.vmap(jax.vmap(lambda key: random.fold_in(key, purpose)))(keys)
