"""The whole product posterior x prior x likelihood x encoder: judged, traced and, in a pairwise cover, trained.

python tests/product.py            # every combination judged
python tests/product.py --trace    # and every accepted one traced, without arrays: step and scoring
python tests/product.py --train    # and a seeded pairwise cover trained
"""

import argparse
import itertools
import random as shuffling
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from jaxvae.build import TABLES, build
from jaxvae.catalogue import SHAPE, config_of, refusal
from jaxvae.data.prepare import Examples
from jaxvae.evaluate import log_weight_sum
from jaxvae.run import abstract_batch, abstract_state, first_state, variables_of

KINDS = ("posterior", "prior", "likelihood", "encoder")
CLASSES, BATCH, STEPS = 3, 16, 60


VARIANTS = {  # of parts whose options are other mathematics
    "gaussian": ("gaussian(0.5)", "gaussian('learned')", "gaussian('optimal')", "gaussian('pixel')"),
    "laplace": ("laplace", "laplace('pixel')"),
    "relaxed": ("relaxed", "relaxed(straight_through=True)"),
}


SMALL = {  # what is trained of parts that are deep by default: as many kinds of layers, fewer of each to compile
    ("posterior", "iaf"): "iaf(steps=2, hidden=16)",
    ("posterior", "coupling"): "coupling(steps=2, hidden=16)",
    ("prior", "realnvp"): "realnvp(steps=2, hidden=16)",
    ("prior", "maf"): "maf(steps=2, hidden=16)",
    ("prior", "vamp"): "vamp(20)",
    ("encoder", "attention"): "attention(width=16, heads=2, blocks=1, dense=16)",
}


def product():
    """Every combination, as {kind: a name, or a call}."""
    texts = [[text for name in TABLES[kind] for text in variants(kind, name)] for kind in KINDS]
    return [dict(zip(KINDS, choice, strict=True)) for choice in itertools.product(*texts)]


def variants(kind, name):
    """The strings that stand for a part; the prior named gaussian has one."""
    return (name,) if kind == "prior" else VARIANTS.get(name, (name,))


def shape_of(choice):
    """Sequences for the networks that read them, small images for the others."""
    return (8, 1) if choice["encoder"] == "conv1d" else SHAPE


def verdict(choice):
    """None, or the sentence that refuses the combination."""
    return refusal(config_of(**choice), shape_of(choice))


def names_two_fields(sentence):
    """Whether a refusal names two fields and says what to do."""
    fields = ("model.", "data.", "objective=")
    named = {
        word.split("=")[0] for word in sentence.replace("(", " ").split() if word.startswith(fields) and "=" in word
    }
    return len(named) >= 2 and ("Choose " in sentence or "choose " in sentence)


def parts_of(choice):
    config = config_of(**choice)
    return config, build(config, shape_of(choice), condition=CLASSES)


def trace(choice):
    """Traces a train step and an importance-weighted score, without arrays."""
    config, parts = parts_of(choice)
    state, batch = abstract_state(config, parts), abstract_batch(config, parts, BATCH)
    after, metrics = jax.eval_shape(parts.train_step, state, batch)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    assert all(metric.shape == () for metric in metrics.values())
    if config.objective == "elbo":
        score(parts, state)


def score(parts, state):
    def of(variables, key, x, index, condition):
        inferred = parts.model.apply(variables, x, condition, method="infer")
        return log_weight_sum(parts.model, variables, key, inferred, x, index, condition, count=3)

    x = jax.ShapeDtypeStruct((BATCH, *parts.shape), jnp.float32)
    condition = parts.condition_size and jax.ShapeDtypeStruct((BATCH, parts.condition_size), jnp.float32)
    index = jax.ShapeDtypeStruct((BATCH,), jnp.int32)
    weights = jax.eval_shape(of, variables_of(state), jax.eval_shape(random.key, 0), x, index, condition)
    assert weights.shape == (BATCH,)


def train(choice, steps=STEPS):
    """Trains on one batch of real digits: raises AssertionError unless the loss falls and every parameter moves."""
    config, parts = parts_of({kind: SMALL.get((kind, text), text) for kind, text in choice.items()})
    batch = digits(parts.shape)
    keys = random.split(random.key(0))
    state = jax.jit(partial(first_state, config, parts))(*keys)
    step = jax.jit(parts.train_step)
    losses, before = [], state.params
    for _ in range(steps):
        state, metrics = step(state, batch)
        losses.append(metrics["loss"])
    losses = np.asarray(losses)
    assert np.isfinite(losses).all(), f"losses {losses}"
    assert int(state.guard.skipped) == 0
    assert losses[-10:].mean() < losses[:5].mean(), f"the loss rose from {losses[:5].mean()} to {losses[-10:].mean()}"
    for path, moved in jax.tree_util.tree_leaves_with_path(
        jax.tree.map(lambda a, b: (a != b).any(), before, state.params)
    ):
        assert moved, f"{jax.tree_util.keystr(path)} did not move"
    for leaf in jax.tree.leaves((state.params, state.variables)):
        assert np.isfinite(leaf).all()


def digits(shape):
    """A stored batch of real digits, 8 x 8 or one row of them."""
    from sklearn.datasets import load_digits

    image = np.round(load_digits().images[:BATCH] * 255 / 16).astype(np.uint8)
    image = image[..., None] if len(shape) == 3 else image[:, 4, :, None]
    return Examples(image, np.arange(BATCH, dtype=np.int32) % CLASSES, np.arange(BATCH, dtype=np.int32))


def pairwise_cover(choices, seed=0):
    """Few of the choices, in which every pair of parts that occurs in any of them occurs."""
    found = [(choice, pairs(choice)) for choice in choices]
    shuffling.Random(seed).shuffle(found)
    wanted = set().union(*(held for _, held in found))
    cover = []
    while wanted:
        best, held = max(found, key=lambda pair: len(pair[1] & wanted))
        cover.append(best)
        wanted -= held
    return cover


def pairs(choice):
    return set(itertools.combinations(sorted(choice.items()), 2))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--share", default="0/1", help="i/n: every n-th combination from the i-th")
    options = parser.parse_args()
    began, choices = time.perf_counter(), product()
    verdicts = {tuple(choice.items()): verdict(choice) for choice in choices}
    accepted = [choice for choice in choices if verdicts[tuple(choice.items())] is None]
    vague = [text for text in verdicts.values() if text is not None and not names_two_fields(text)]
    print(f"{len(choices):,} combinations: {len(accepted):,} accepted, {len(choices) - len(accepted):,} refused, ")
    print(f"{len(vague)} refusals without two fields and a move; {time.perf_counter() - began:.0f} s", flush=True)
    failed = [*vague]
    first, every = map(int, options.share.split("/"))
    for name, wanted, work, chosen in (
        ("traced", options.trace, trace, accepted),
        ("trained", options.train, train, pairwise_cover(accepted) if options.train else []),
    ):
        if wanted:
            failed += run(name, work, chosen[first::every])
    sys.exit(bool(failed))


def run(name, work, choices):
    began, failed = time.perf_counter(), []
    for done, choice in enumerate(choices, 1):
        try:
            work(choice)
        except Exception as error:
            failed.append(choice)
            print(f"FAILED {choice}: {type(error).__name__}: {str(error)[:300]}", flush=True)
        if done % 100 == 0:
            jax.clear_caches()
            print(f"{done:,} of {len(choices):,} {name}, {time.perf_counter() - began:.0f} s", flush=True)
    print(f"{len(choices) - len(failed):,} of {len(choices):,} {name}; {time.perf_counter() - began:.0f} s")
    return failed


if __name__ == "__main__":
    main()
