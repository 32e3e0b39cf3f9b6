"""The one VAE whose likelihood is known: linear and Gaussian, p(x) = N(b, W W' + sigma^2 I).

Orthogonal columns of W make the exact posterior diagonal, so that a diagonal q can be it.
"""

import numpy as np
import scipy.stats
from small import SHAPE, init, make_vae

from jaxvae.model import likelihood
from jaxvae.model.decoder import MLPDecoder
from jaxvae.model.encoder import MLPEncoder

SIGMA = 0.7
PIXELS = int(np.prod(SHAPE))
COLUMN_NORMS = np.array([1.5, 0.4])  # lengths of W's columns


def make_linear_vae(shift=0.0, widen=0.0):
    """(model, variables, log_px): q is the exact posterior, its means off by `shift`, its log-scales by `widen`."""
    model = make_vae(px=likelihood.gaussian(SIGMA), encode=MLPEncoder(()), decode=MLPDecoder((), SHAPE))
    random_state = np.random.RandomState(0)
    w = np.linalg.qr(random_state.normal(size=(PIXELS, 2)))[0] * COLUMN_NORMS
    b = random_state.normal(size=PIXELS)
    precision = 1 + COLUMN_NORMS**2 / SIGMA**2
    to_mean = w / SIGMA**2 / precision
    log_scale = 7 * np.arctanh((-0.5 * np.log(precision) + widen) / 7)  # undoes the posterior's smooth bound
    variables = init(model, np.zeros((1, *SHAPE), np.float32))
    params = {
        "posterior": {
            "Dense_0": {
                "kernel": np.concatenate([to_mean, np.zeros((PIXELS, 2))], 1),
                "bias": np.concatenate([shift - b @ to_mean, log_scale]),
            }
        },
        "decoder": {"Dense_0": {"kernel": w.T, "bias": b}},
    }
    assert {name: set(part) for name, part in params.items()} == {
        name: set(part) for name, part in variables["params"].items()
    }
    params = {
        name: {"Dense_0": {k: a.astype(np.float32) for k, a in part["Dense_0"].items()}}
        for name, part in params.items()
    }

    def log_px(x):
        return scipy.stats.multivariate_normal(b, w @ w.T + SIGMA**2 * np.eye(PIXELS)).logpdf(
            np.float64(x).reshape(len(x), -1)
        )

    return model, {"params": params}, log_px


def images(count, seed=0):
    """Draws about as wide as p(x), float32 [count, *SHAPE]."""
    return np.random.RandomState(seed).normal(size=(count, *SHAPE)).astype(np.float32)
