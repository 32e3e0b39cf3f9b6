"""Optimizers: from the gradient to the step, as optax has them; and one for what an objective trains itself."""

from __future__ import annotations

import optax

from jaxvae._checks import finite, positive, share


def adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Steps m / (sqrt(v) + eps), m and v running means of the gradient and its square (arXiv 1412.6980, alg. 1)."""
    return optax.adam(schedule, share("b1", b1), share("b2", b2), positive("eps", eps))


def adamw(
    weight_decay: float = 1e-4, b1: float = 0.9, b2: float = 0.999, *, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """Adam, and all parameters shrunk by the learning rate times `weight_decay` (arXiv 1711.05101, alg. 2)."""
    decay = finite("weight_decay", weight_decay, 0)
    return optax.adamw(schedule, share("b1", b1), share("b2", b2), weight_decay=decay)


def adamax(b1: float = 0.9, b2: float = 0.999, *, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Adam with the largest recent gradient in place of sqrt(v) (arXiv 1412.6980, alg. 2)."""
    return optax.adamax(schedule, share("b1", b1), share("b2", b2))


def sgd(momentum: float = 0.0, *, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Steps along the gradient, or along its running sum with `momentum`."""
    return optax.sgd(schedule, share("momentum", momentum) or None)


def with_critic(optimizer: optax.GradientTransformation, learning_rate: float) -> optax.GradientTransformation:
    """The optimizer for the model, and for the objective's critic Adam with little momentum, so that it follows.

    b1 = 0.5 and b2 = 0.9 are those of FactorVAE (arXiv 1802.05983, appendix A), near DCGAN's (arXiv 1511.06434).
    """
    of_critic = optax.adam(learning_rate, 0.5, 0.9)
    return optax.partition({"model": optimizer, "objective": of_critic}, {"model": "model", "objective": "objective"})
