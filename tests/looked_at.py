"""A run and its images to draw figures of: untrained, small, made of arrays."""

import jax
import numpy as np
from jax import random
from opened_data import open_named
from small import grey_images

from jaxvae.config import Config, Model
from jaxvae.config.build import build
from jaxvae.rundir.run import Run
from jaxvae.rundir.state import first_state, variables_of
from jaxvae.viz.figures.subject import Subject

PREPARE = {"bernoulli": "binarize", "gaussian(0.3)": "dequantize", "logistic_mixture(2)": "grey"}


def make_run(shape=(4, 4, 1), likelihood="bernoulli", *, leave_out=(), size=None, **model):
    """An untrained run of a model with 8 units a layer, for a condition of this size."""
    config = Config(model=Model(encoder="mlp(8)", decoder="mlp(8)", likelihood=likelihood, **model))
    config.data.prepare, config.data.leave_out = PREPARE[likelihood], leave_out
    if model.get("posterior", "diagonal")[:2] in ("po", "vq"):
        config.objective = "reconstruction()"
    parts = build(config, shape, condition=size)
    state = jax.jit(lambda *keys: first_state(config, parts, *keys))(random.key(0), random.key(1))
    return Run(config, parts, variables_of(state), 0)


def make_data(shape=(4, 4, 1), *, leave_out=(), count=60):
    """A data set of so many training images, half as many others, of three classes; or sequences [L, 1]."""
    arrays = {
        split: (grey_images(n, shape if len(shape) == 3 else shape[:1], seed), np.arange(n, dtype=np.int32) % 3)
        for seed, (split, n) in enumerate({"train": count, "test": count // 2}.items())
    }
    return open_named("arrays", None, 0.1, arrays, leave_out=leave_out)


def make_subject(shape=(4, 4, 1), likelihood="bernoulli", *, leave_out=(), **model):
    """The test images of `make_data`, looked at with a run of `make_run`."""
    data = make_data(shape, leave_out=leave_out)
    size = data.condition_size(model.get("condition", "none"))
    return Subject(make_run(shape, likelihood, leave_out=leave_out, size=size, **model), data, "test", random.key(5))
