"""Configs that somebody could write, near-valid ones above all: judged, traced without arrays, and trained."""

import dataclasses
import inspect
import traceback

import jax
import numpy as np
from hypothesis import strategies as st
from jax import random

from jaxvae._checks import UsageError
from jaxvae.config.build import build
from jaxvae.config.registry import TABLES
from jaxvae.config.schema import field_types, is_ensemble
from jaxvae.data.prepare import Examples
from jaxvae.evaluate.bounds import bound_parts, latent_statistics, log_weight_sum
from jaxvae.rundir.state import abstract_batch, abstract_state, variables_of
from jaxvae.terms import example_keys
from jaxvae.training import train as training
from jaxvae.training.ensemble.members import members_of
from jaxvae.viz import figures
from tools.parts_page import EXAMPLES, config_of

NAMES = list(field_types())
COUNT = 24  # examples to train on
SHAPES = [(1, 1, 1), (3, 5, 1), (8, 8, 1), (8, 8, 3), (1, 6, 1), (9, 1)]
SMALL = {  # a valid string of parts that are large or need arguments
    **{kind: dict(texts) for kind, texts in EXAMPLES.items()},
    "posterior": {"iaf": "iaf(2, hidden=4)", "coupling": "coupling(2, hidden=4)", "vq": "vq(codes=8, dim=2)"},
    "prior": {"realnvp": "realnvp(2, hidden=4)", "maf": "maf(2, hidden=4)", "vamp": "vamp(5)", "mixture": "mixture(3)"},
    "term": {"factor": "factor(width=4, layers=2)", "aae": "aae(width=4, layers=1)", "gan": "gan(channels=(2,))"},
}
GOOD_WEIGHTS = (  # in front of an objective
    *("", "", "", "0.1 * ", "2 * ", "0 * ", "1e-45 * ", "linear(0, 1, steps=5) * ", "sigmoid(0.5, 2, steps=3) * "),
    "cyclical(0, 1, steps=4, cycles=2) * ",
)
ODD_WEIGHTS = (
    "",
    "3 * ",
    "-1 * ",
    "1e39 * ",
    "'a' * ",
    "nan * ",
    "2 * 3 * ",
    "True * ",
    "- ",
    "linear(1) * ",
    "elbo * ",
)
DEEP = (  # nested beyond what is read
    *("+".join(["elbo"] * 1900), "elbo" + " + mmd()" * 1200, "0.1 * (" * 300 + "elbo" + ")" * 300),
    *("-" * 2000 + "1 * elbo", "(" * 150 + "elbo" + ")" * 150, "elbo + " + "f(" * 90 + ")" * 90),
    "elbo(" + "-" * 300 + "1) + mmd",
)
for kind in ("encoder", "decoder"):
    SMALL[kind]["attention"] = "attention(width=8, heads=2, blocks=1, dense=8, patch=3)"
IMAGES = ("conv", "resnet", "attention")
LITERALS = (
    *("0", "1", "2", "3", "8", "16", "0.5", "0.1", "1.5", "1e-3", "-1", "-0.5", "1e400", "-1e400", "nan", "1e300"),
    *(
        "1e-300",
        "10**9",
        "1000000000",
        "10000",
        "1" + 30 * "0",
        "9" * 5000,
        "True",
        "False",
        "None",
        "'relu'",
        "'tanh'",
    ),
    *("'learned'", "'pixel'", "'optimal'", "'pixl'", "''", "'é漢'", "(1, 2)", "()", "(8, 5)", "[3]", "[[[3]]]", "{}"),
    *(
        "{'a': 1}",
        "b'x'",
        "1j",
        "...",
        "'\\0'",
        "linear(0, 1, steps=5)",
        "linear(1)",
        "linear(linear(0, 1, steps=2), 1)",
    ),
    *("mlp(3)", "-0.0", "{1, 2}", "'" + "x" * 300 + "'", "-" * 2000 + "1", "x", "*[3]", "**{'a': 1}", "(2, 'a')"),
)
TEXTS = (
    *(
        "",
        " ",
        "none",
        "mlp",
        "mlp(",
        "mlp(8))",
        "mlp(8, 8",
        "mlp(8)(8)",
        "mlp.conv",
        "[mlp(8)]",
        "'mlp(8)'",
        "8",
        "lambda: 1",
    ),
    *("mlp(8); mlp(8)", "mlp(8)\n", "mlp(8,\n8)", "é(3)", "漢字", "\0", "mlp(\0)", "\ud800", "x" * 20_000, "(" * 5000),
    *(
        "conv(" + "8, " * 10_000 + ")",
        "mlp(" + "1, " * 2000 + ")",
        "no_such_file.py:mine(3)",
        ".py:mine",
        "__import__('os')",
    ),
    *(
        "mlp(8, 8, activation='relu', activation='tanh')",
        "-" * 9000 + "1",
        "f(" * 150 + ")" * 150,
        "mlp(0x8)",
        "mlp(08)",
    ),
)
ODD = {
    int: (
        0,
        1,
        2,
        3,
        7,
        -1,
        -3,
        10**6,
        10**9,
        10**12,
        10**18,
        2**31 - 1,
        2**31,
        2**63,
        10**400,
        10**5000,
        1.5,
        True,
        "8",
    ),
    float: (0, 0.0, 0.5, 1, 1.0, 3, -1, -0.1, 1e-300, 1e300, 1e-9, float("nan"), float("inf"), 10**400, "x", True, ()),
    str: (*TEXTS, 3, None, True, (), ["a"], {"a": 1}, b"x"),
    bool: (True, False, None, 1, "true", 0.0),
    tuple: (
        (),
        ("test",),
        ("train", "test"),
        ("dev",),
        ("test", "test"),
        "test",
        None,
        (1,),
        ["test"],
        (("test",),),
        3,
    ),
}
KINDS = {
    **{f"model.{kind}": kind for kind in ("encoder", "posterior", "prior", "decoder", "likelihood")},
    **{"data.prepare": "prepare", "objective": "objective", "optimizer.name": "optimizer"},
    **{"optimizer.schedule": "schedule", "train.sweep": "sweep"},
}
GOOD = {
    "data.batch_size": (1, 2, 4, 6),
    "data.validation": (0.0, 0.1, 2),
    "data.pipeline": ("auto", "auto", "resident", "streaming"),
    "model.latent_dim": (1, 2, 3),
    "model.condition": ("none", "label", "vector"),
    "model.precision": ("float32", "bfloat16"),
    "optimizer.name": ("adam", "adamw(0.1)", "adamax", "sgd(0.9)", "adam(eps=1e-4, b2=0.9)"),
    "optimizer.schedule": ("constant", "warmup(2)", "cosine", "cosine(1, 0.1)"),
    "optimizer.learning_rate": (1e-3, 0.1),
    "optimizer.clip": (None, 1.0),
    "optimizer.ema": (0.0, 0.9),
    "train.steps": (1, 3, 5),
    "train.samples": (1, 3),
    "train.accumulate": (1, 2),
    "train.engine": ("auto", "auto", "dispatch", "scan", "sharded", "shard_map"),
    "train.log_every": (1, 2),
    "train.validate_every": (2, 100),
    "train.checkpoint_every": (2, 100),
    "train.patience": (None, None, 1),
    "train.remat": (False, True),
    "train.fsdp": (False, True),
    "train.seed": (0, 7, 2**32 - 1),
    "train.seeds": (1, 1, 1, 2),
    "train.sweep": ("none", "none", "none", "beta(0.5, 1)", "learning_rate(1e-3)"),
    "train.deterministic": (False, True),
    "evaluate.samples": (1, 3),
    "evaluate.splits": (("test",), ("test", "train"), ("validation",)),
    "evaluate.batch_size": (1, 5),
}


@st.composite
def calls(draw, kind):
    """A part as a call with odd arguments, positional and by keyword, of its signature and not."""
    also = "term" if kind == "objective" else kind
    table = TABLES[draw(st.sampled_from([kind, kind, also, also, "encoder", "prior", "weight"]))]
    name = draw(st.sampled_from(list(table)))
    known = [*inspect.signature(table[name]).parameters, "foo", "latent_dim", "__class__"]
    positional = draw(st.lists(st.sampled_from(LITERALS), max_size=3))
    keywords = draw(st.lists(st.tuples(st.sampled_from(known), st.sampled_from(LITERALS)), max_size=2))
    return f"{name}({', '.join([*positional, *(f'{key}={value}' for key, value in keywords)])})"


@st.composite
def sums(draw):
    """Objectives and terms with weights, added up: half of them such as should be, half in one odd way or another."""
    good = draw(st.booleans())

    def one(kind):
        name = draw(st.sampled_from(list(TABLES[kind])))
        part = st.just(SMALL.get(kind, {}).get(name, name))
        weights = st.sampled_from(GOOD_WEIGHTS if good else ODD_WEIGHTS)
        return draw(weights) + draw(part if good else st.one_of(part, calls("objective")))

    kinds = ["objective", *draw(st.lists(st.sampled_from(["term", "term", "objective"]), max_size=3))]
    sign = " + " if good else draw(st.sampled_from(["+", " - ", " * "]))
    around = ["{}", "{}", "({})", "0.5 * ({})", "elbo + ({})"] if good else ["{}", "{} * 2", "{} + elbo(", "-{}"]
    return draw(st.sampled_from(around)).replace("{}", sign.join(map(one, kinds)))


def odd_values(name):
    """What somebody could write into this field, right or wrong."""
    kinds = {int: int, float: float, str: str, bool: bool}
    annotation = field_types()[name]
    plain = next((kind for kind in kinds if kind in (annotation, *getattr(annotation, "__args__", ()))), tuple)
    plain = tuple if name == "evaluate.splits" else plain
    odd = st.sampled_from([*ODD[plain], *GOOD.get(name, ())])
    if name == "objective":
        return st.one_of(sums(), sums(), calls(name), st.sampled_from(DEEP), odd)
    return st.one_of(calls(KINDS[name]), calls(KINDS[name]), odd) if name in KINDS else odd


@st.composite
def configs(draw):
    """(config, shape of an example, condition size): parts that mostly fit, good numbers, and some fields made odd."""

    def some(kind):
        name = draw(st.sampled_from(list(TABLES[kind])))
        return SMALL.get(kind, {}).get(name, name)

    shape = draw(st.sampled_from(SHAPES))
    sequence = len(shape) == 2 or shape[0] == 1
    fitting = [
        name for name in TABLES["encoder"] if (name == "conv1d") <= sequence and (len(shape) == 3 or name not in IMAGES)
    ]
    network = draw(st.sampled_from(fitting * 5 + list(TABLES["encoder"])))
    given = {"likelihood": some("likelihood"), "encoder": network, "posterior": some("posterior")}
    if draw(st.integers(0, 3)) == 0:
        given["prior"] = some("prior")
    for kind, chance in (("objective", 2), ("term", 3)):
        if draw(st.integers(0, chance)) == 0:
            given[kind] = some(kind)
    config = config_of(**{kind: SMALL.get(kind, {}).get(text, text) for kind, text in given.items()})
    for kind in ("encoder", "decoder"):
        config = changed(config, f"model.{kind}", SMALL[kind].get(network, network))
    for name, values in GOOD.items():
        if draw(st.integers(0, 3)) == 0:
            config = changed(config, name, draw(st.sampled_from(values)))
    config = changed(config, "train.steps", min(config.train.steps, 5))
    if draw(st.integers(0, 3)) == 0:
        config = changed(config, "objective", draw(odd_values("objective")))
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=draw(st.sampled_from([0, 1, 1, 2, 4, 12])))):
        config = changed(config, name, draw(odd_values(name)))
    condition = draw(st.sampled_from([3, 3, 3, 1, None]))
    return config, shape, condition


def changed(config, name, value):
    """The config with another value of one field, 'section.field'."""
    section, _, field = name.rpartition(".")
    if not section:
        return dataclasses.replace(config, **{field: value})
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **{field: value})})


def verdict(config, shape, condition):
    """(the parts, None), or (None, the sentence that refuses the config); AssertionError where that is no such."""
    try:
        alone = [member.config for member in members_of(config)] if is_ensemble(config) else [config]
        built = [(each, build(each, shape, condition=condition, examples=COUNT, trust=False)) for each in alone[:3]]
    except ValueError as error:
        require_refusal(error)
        return None, str(error)
    return built[0], None


def require_refusal(error):
    """AssertionError unless this package refused the config on purpose, in words that name a field."""
    text = str(error)
    cause = error
    while cause is not None:
        assert isinstance(cause, UsageError), (
            f"not refused, but failed: {''.join(traceback.format_exception(error))[-1500:]}"
        )
        cause = cause.__cause__
    assert any(name in text for name in NAMES), f"names no field: {text}"
    assert len(text) < 3000, f"{len(text)} characters: {text[:200]}"
    assert "Traceback" not in text


def trace(config, parts):
    """Traces the first state, a train step and scoring, without arrays; raises what goes wrong in them."""
    state, batch = abstract_state(config, parts), abstract_batch(config, parts, config.data.batch_size)
    after, _ = jax.eval_shape(parts.train_step, state, batch)
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), after, state)
    assert all(jax.tree.leaves(same)), "the step changes a shape or a dtype of the state"
    jax.eval_shape(lambda variables, batch: score(parts, variables, batch), variables_of(state), batch)


def score(parts, variables, batch):
    keys = random.split(random.key(0), len(batch.index))
    data = parts.prepare(keys, Examples(batch.image, batch.label, batch.index))
    model = parts.model
    terms = model.apply(variables, example_keys(random.key(1), data.index), data.x, data.condition, target=data.target)
    values = bound_parts(terms)
    values |= latent_statistics(terms, model.posterior.traits.space)
    if terms.bound:
        inferred = model.apply(variables, data.x, data.condition, method="infer")
        values["weight"] = log_weight_sum(
            *(model, variables, random.key(2), inferred, data.x, data.index, data.condition), count=2
        )
    return values


def train(config, shape, workdir, condition):
    """Trains for real, on random images: 'trained', 'refused late', or 'stopped', where numbers went bad."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, *shape), np.uint8)
    labels = rng.integers(0, condition or 1, COUNT).astype(np.int32)
    if config.model.condition == "vector":
        labels = rng.normal(size=(COUNT, condition or 1)).astype(np.float32)
    arrays = images if condition is None else (images, labels)
    try:
        if is_ensemble(config):
            from jaxvae.training.ensemble.train import train_members

            train_members(config, workdir, arrays=arrays)
        else:
            training.train(config, workdir, arrays=arrays)
    except FloatingPointError:
        return "stopped"
    except ValueError as error:
        require_refusal(error)
        return "refused late"
    return "trained"


def without_pictures(patch):
    """What takes seconds and is not what is tested; patch(object, name, value)."""
    patch(figures, "draw_figures", lambda *_, **__: None)
    patch(figures, "save_frame", lambda *_, **__: None)
    patch(training.report, "write_report", lambda folder: (folder / training.report.REPORT).touch())
