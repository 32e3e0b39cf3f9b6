"""The product posterior x prior x likelihood x encoder x objective: judged, traced and, in a pairwise cover, trained.

python tests/product.py            # two parts of it: without objectives, and posterior x prior x objective
python tests/product.py --whole    # every combination judged
python tests/product.py --trace    # and every accepted one traced, without arrays: step and scoring
python tests/product.py --train    # and a seeded pairwise cover of all five kinds trained
"""

import argparse
import bisect
import itertools
import random as shuffling
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # as a script: for tools

import jax
import jax.numpy as jnp
import numpy as np
from jax import random

from jaxvae.config.build import build
from jaxvae.config.registry import TABLES
from jaxvae.data.prepare import Examples
from jaxvae.evaluate.bounds import log_weight_sum
from jaxvae.model.traits import traits_of
from jaxvae.rundir.state import abstract_batch, abstract_state, first_state, variables_of
from tools.parts_page import EXAMPLE_COUNT, SHAPE, config_of, refusal

KINDS = ("posterior", "prior", "likelihood", "encoder")
AIMS = ("objective", "term")  # one of them: an objective alone, or a term added to one that fits the posterior
CLASSES, BATCH, STEPS = 3, 16, 40


VARIANTS = {  # of parts whose options are other mathematics
    ("likelihood", "gaussian"): ("gaussian(0.5)", "gaussian('learned')", "gaussian('optimal')", "gaussian('pixel')"),
    ("likelihood", "laplace"): ("laplace", "laplace('pixel')"),
    ("posterior", "relaxed"): ("relaxed", "relaxed(straight_through=True)"),
    ("objective", "elbo"): ("elbo", "elbo(free_nats=0.1, per='dimension')"),
    ("objective", "geco"): ("geco(20.0)",),
    ("objective", "iwae"): ("iwae", "iwae('stl')", "iwae('dreg')"),
    ("objective", "rae"): ("rae", "rae(decoder='slope')"),
    ("objective", "tc"): ("tc", "tc(weights='weighted')"),
    ("term", "mmd"): ("mmd", "mmd('rbf')"),
}


SMALL = {  # what is trained of parts that are deep by default: as many kinds of layers, fewer of each to compile
    ("posterior", "iaf"): "iaf(steps=2, hidden=16)",
    ("posterior", "coupling"): "coupling(steps=2, hidden=16)",
    ("prior", "realnvp"): "realnvp(steps=2, hidden=16)",
    ("prior", "maf"): "maf(steps=2, hidden=16)",
    ("prior", "vamp"): "vamp(20)",
    ("encoder", "attention"): "attention(width=8, heads=2, blocks=1, dense=8)",
    ("encoder", "resnet"): "resnet(4, dense=8)",
    ("encoder", "conv"): "conv(4, dense=8)",
    ("term", "factor"): "factor(width=16, layers=2)",
    ("term", "aae"): "aae(width=16, layers=2)",
    ("term", "gan"): "gan(channels=(4,))",
}


def product():
    """Every combination of the four kinds, as {kind: a name, or a call}; what is minimised is left to fit them."""
    return combined(*KINDS)


def product_of_aims():
    """Every combination of posterior and prior with what is minimised."""
    return [{**parts, **aim} for parts in combined("posterior", "prior") for aim in aims()]


def whole_product():
    """Every combination there is."""
    return [{**parts, **aim} for parts in product() for aim in aims()]


def combined(*kinds):
    texts = [[text for name in TABLES[kind] for text in variants(kind, name)] for kind in kinds]
    return [dict(zip(kinds, choice, strict=True)) for choice in itertools.product(*texts)]


def aims():
    """Each objective alone, and each term, as {kind: text}."""
    return [{kind: text} for kind in AIMS for name in TABLES[kind] for text in variants(kind, name)]


def variants(kind, name):
    """The strings that stand for a part."""
    return VARIANTS.get((kind, name), (name,))


def shape_of(choice):
    """Sequences for the networks that read them, small images for the others."""
    return (8, 1) if choice.get("encoder") == "conv1d" else SHAPE


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
    return config, build(config, shape_of(choice), condition=CLASSES, examples=EXAMPLE_COUNT)


def trace(choice):
    """Traces a train step and an importance-weighted score, without arrays."""
    config, parts = parts_of(choice)
    state, batch = abstract_state(config, parts), abstract_batch(config, parts, BATCH)
    after, metrics = jax.eval_shape(parts.train_step, state, batch)
    assert jax.tree.map(lambda a: (a.shape, a.dtype), after) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    assert all(metric.shape == () for metric in metrics.values())
    if "samples" in traits_of(parts.model.posterior).offers:
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
    """Trains on one batch of real digits: raises AssertionError unless it learns them and every parameter moves.

    What falls is the loss, or where a critic or a multiplier moves that, the distortion.
    """
    config, parts = parts_of({kind: SMALL.get((kind, text), text) for kind, text in choice.items()})
    batch = digits(parts.shape)
    keys = random.split(random.key(0))
    state = jax.jit(partial(first_state, config, parts))(*keys)
    step = jax.jit(parts.train_step)
    lines, before = [], state.params
    for _ in range(steps):
        state, metrics = step(state, batch)
        lines.append(metrics)
    moving = "critic" in parts.objective.needs.engine or "multiplier" in metrics
    losses = np.asarray([line["loss"] for line in lines])
    falling = np.asarray([line["distortion" if moving else "loss"] for line in lines])
    assert np.isfinite(losses).all(), f"losses {losses}"
    assert int(state.guard.skipped) == 0
    assert falling[-10:].mean() < falling[:5].mean(), f"rose from {falling[:5].mean()} to {falling[-10:].mean()}"
    for path, moved in jax.tree_util.tree_leaves_with_path(
        jax.tree.map(lambda a, b: (a != b).any(), before, state.params)
    ):
        where = jax.tree_util.keystr(path)
        scale = "likelihood" in where and "ms_ssim" in config.objective  # which looks at the mean of p(x|z) alone
        assert moved or scale, f"{where} did not move"
    for leaf in jax.tree.leaves((state.params, state.variables)):
        assert np.isfinite(leaf).all()


def digits(shape):
    """A stored batch of real digits, 8 x 8 or one row of them."""
    from sklearn.datasets import load_digits

    image = np.round(load_digits().images[:BATCH] * 255 / 16).astype(np.uint8)
    image = image[..., None] if len(shape) == 3 else image[:, 4, :, None]
    return Examples(image, np.arange(BATCH, dtype=np.int32) % CLASSES, np.arange(BATCH, dtype=np.int32))


def aimed(accepted, accepted_aims, each=2, seed=0):
    """Accepted combinations of all five kinds: each of the four with a few of the aims that fit, drawn at random."""
    fitting, drawn = {}, shuffling.Random(seed)
    for choice in accepted_aims:
        fitting.setdefault((choice["posterior"], choice["prior"]), []).append(aim_of(choice))
    found = []
    for choice in accepted:
        here = [aim for aim in fitting[choice["posterior"], choice["prior"]] if pair_fits(choice, aim)]
        found += [{**choice, **dict([aim])} for aim in drawn.sample(here, min(each, len(here)))]
    return found


def aim_of(choice):
    """(kind, text) of what is minimised; None where that is left to fit the rest."""
    return next(((kind, choice[kind]) for kind in AIMS if kind in choice), None)


def pair_fits(choice, aim):
    """Whether the aim reads such data: all that it has to do with likelihood or encoder."""
    return len(shape_of(choice)) == 3 or not aim[1].startswith("ms_ssim")


def pairwise_cover(choices, seed=0):
    """Few of the choices, in which every pair of parts that occurs in any of them occurs; those of a new aim first."""
    found = [(choice, pairs(choice)) for choice in choices]
    shuffling.Random(seed).shuffle(found)
    wanted = set().union(*(held for _, held in found))
    cover = []

    def gain(number):
        choice, held = found[number]
        return aim_of(choice) in wanted, len(held & wanted)

    # a gain only falls while others are taken: the best as last looked at, if it is still that good, is the best
    waiting = sorted((gain(number), number) for number in range(len(found)))
    while wanted:
        _, number = waiting.pop()
        now = gain(number), number
        if waiting and now < waiting[-1]:
            bisect.insort(waiting, now)
            continue
        cover.append(found[number][0])
        wanted -= found[number][1]
    return cover


def pairs(choice):
    """All pairs of the choice's parts; its aim, and the pairs of that and each part by name, all variants as one."""
    aim, parts = aim_of(choice), [(kind, choice[kind]) for kind in KINDS if kind in choice]
    of_aim = {aim, *((named(aim), named(part)) for part in parts)} if aim else set()
    return {*itertools.combinations(parts, 2), *of_aim}


def named(part):
    """(kind, name) of (kind, text)."""
    return part[0], part[1].partition("(")[0]


def judged(choices):
    """(the choices that are accepted, the sentences that refuse the others)."""
    verdicts = [(choice, verdict(choice)) for choice in choices]
    return [choice for choice, text in verdicts if text is None], [text for _, text in verdicts if text is not None]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--share", default="0/1", help="i/n: every n-th combination from the i-th")
    options = parser.parse_args()
    (accepted, vague), (with_aims, more) = judge(product()), judge(product_of_aims())
    failed = [*vague, *more]
    if options.whole:
        whole, vague = judge(whole_product())
        failed += vague + [choice for choice in whole if not pair_fits(choice, aim_of(choice))]
    first, every = map(int, options.share.split("/"))
    chosen = aimed(accepted, with_aims)
    for name, wanted, work, choices in (
        ("traced", options.trace, trace, [*accepted, *with_aims]),
        ("trained", options.train, train, pairwise_cover(chosen) if options.train else []),
    ):
        if wanted:
            failed += run(name, work, choices[first::every])
    sys.exit(bool(failed))


def judge(choices):
    """(those accepted, the refusals that are no proper ones), counted aloud."""
    began = time.perf_counter()
    accepted, refusals = judged(choices)
    vague = [text for text in refusals if not names_two_fields(text)]
    print(f"{len(choices):,} combinations: {len(accepted):,} accepted, {len(refusals):,} refused;")
    print(f"{len(vague)} refusals without two fields and a move; {time.perf_counter() - began:.0f} s", flush=True)
    return accepted, vague


def run(name, work, choices):
    began, failed = time.perf_counter(), []
    for done, choice in enumerate(choices, 1):
        try:
            work(choice)
        except Exception as error:
            failed.append(choice)
            print(f"FAILED {choice}: {type(error).__name__}: {str(error)[:300]}", flush=True)
        if done % 50 == 0:
            jax.clear_caches()
            print(f"{done:,} of {len(choices):,} {name}, {time.perf_counter() - began:.0f} s", flush=True)
    print(f"{len(choices) - len(failed):,} of {len(choices):,} {name}; {time.perf_counter() - began:.0f} s")
    return failed


if __name__ == "__main__":
    main()
