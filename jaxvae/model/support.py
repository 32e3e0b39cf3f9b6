"""Which data a likelihood is a density of, and what to do with others: checked on the host, never inside jit."""

from __future__ import annotations

import numpy as np

from jaxvae._checks import UsageError

SUPPORTS = {
    "binary": ("the values 0 and 1 only", lambda x: bool(np.isin(x, (0.0, 1.0)).all())),
    "coded": (
        "the 256 values k / 255",
        lambda x: bool((np.abs(255 * x - np.round(255 * x)) < 1e-3).all() and _in_unit(x)),
    ),
    "open": ("values inside (0, 1), its ends excluded", lambda x: bool(((x > 0) & (x < 1)).all())),
    "unit": ("values from 0 to 1", lambda x: _in_unit(x)),
    "real": ("finite real numbers", lambda x: bool(np.isfinite(x).all())),
}
CONTAINED_IN = {  # support -> those that contain it
    "binary": {"binary", "coded", "unit", "real"},
    "coded": {"coded", "unit", "real"},
    "open": {"open", "unit", "real"},
    "unit": {"unit", "real"},
    "real": {"real"},
}


def _in_unit(x: np.ndarray) -> bool:
    return bool(((x >= 0) & (x <= 1)).all())


def check_support(support: str, x: np.ndarray, name: str) -> None:
    """Raises ValueError, in words, where x holds values that the likelihood of that support gives no density."""
    expected, holds = SUPPORTS[support]
    x = np.asarray(x)
    if not holds(x):
        raise UsageError(
            f"{name} holds values from {np.min(x):g} to {np.max(x):g}; "
            f"this model's likelihood is a density over {expected}. {_advice(support, x)}"
        )


def _advice(support: str, x: np.ndarray) -> str:
    """What to do with x that lie outside the support."""
    prepared = "Pass uint8 images through prepare(key, images) first, as in training"
    if support == "binary" and _in_unit(x):
        return (
            f"{prepared}: it binarizes them. To model the grey values themselves, train with "
            "model.likelihood='continuous_bernoulli' (a density over [0, 1]) or 'discretized_logistic' (a probability "
            "of the 256 levels), and data.prepare='grey'."
        )
    if support == "open" and _in_unit(x):
        return f"{prepared}: it dequantizes them, so that none is 0 or 1."
    if support == "coded" and _in_unit(x):
        return f"{prepared}, or round to a level: numpy.round(255 * x) / 255."
    if support == "real":
        return "Replace what is not finite."
    return f"{prepared}."
