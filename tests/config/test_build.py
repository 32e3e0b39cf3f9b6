import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import make_examples, make_vae
from small_configs import refused, small_config

from jaxvae.config import Config, Model
from jaxvae.config.build import build
from jaxvae.config.compatibility import find_doubts
from jaxvae.config.other_names import OTHER_NAMES
from jaxvae.config.registry import TABLES, build_objective, build_part, register
from jaxvae.data import prepare
from jaxvae.model import critic, decoder, encoder, likelihood, posterior, prior
from jaxvae.model.decoder import MLPDecoder
from jaxvae.model.encoder import ConvEncoder, MLPEncoder

SHAPE = (4, 4, 1)


@pytest.fixture(autouse=True)
def own_tables(monkeypatch):
    """What a test registers is gone after it."""
    for kind, table in TABLES.items():
        monkeypatch.setitem(TABLES, kind, dict(table))


@pytest.mark.parametrize(
    ("kind", "text", "known", "expected"),
    [
        ("encoder", "mlp(8)", {}, MLPEncoder((8,))),
        ("encoder", "mlp(8, 16)", {}, MLPEncoder((8, 16))),
        ("encoder", "mlp(8, activation='tanh')", {}, MLPEncoder((8,), activation="tanh")),
        ("encoder", "conv( 3 ,4, dense = 7 ) ", {}, ConvEncoder((3, 4), 4, 7)),
        ("decoder", "mlp(8)", {"shape": (4, 4, 1)}, MLPDecoder((8,), (4, 4, 1))),
        ("posterior", "diagonal", {"latent_dim": 3}, posterior.diagonal(latent_dim=3)),
        ("posterior", "diagonal()", {"latent_dim": 3, "shape": SHAPE}, posterior.diagonal(latent_dim=3)),
        ("prior", "standard", {"latent_dim": 3}, prior.standard(latent_dim=3)),
        ("likelihood", "gaussian(0.5)", {}, likelihood.gaussian(0.5)),
        ("likelihood", "gaussian(scale='learned')", {}, likelihood.gaussian("learned")),
    ],
)
def test_a_string_becomes_the_part_it_names(kind, text, known, expected):
    assert build_part(kind, text, known) == expected


def test_a_config_becomes_its_parts():
    parts = build(small_config(model__latent_dim=3), SHAPE)
    assert parts.model == make_vae(latent_dim=3)
    assert parts.prepare.protocol == "dynamic"
    colour = build(small_config(model__decoder="conv(4, 3, dense=8)", model__latent_dim=3), (7, 5, 3)).model
    assert colour.decoder == decoder.conv(4, 3, shape=(7, 5, 3), dense=8)


@pytest.mark.parametrize(
    ("prepared", "px", "bits"),
    [
        ("binarize", "bernoulli", (16, 0.0)),
        ("static(3)", "bernoulli", (16, 0.0)),
        ("dequantize", "gaussian", (16, 8.0)),
        ("grey", "gaussian", None),
        ("binarize", "gaussian", None),
    ],
)
def test_bits_per_dimension_mean_something_only_for_a_probability_of_the_coded_data(prepared, px, bits):
    assert build(small_config(data__prepare=prepared, model__likelihood=px), SHAPE).bits == bits


@pytest.mark.parametrize(
    ("objective", "betas"),
    [
        ("elbo", [1, 1, 1, 1]),
        ("elbo(0.5)", [0.5, 0.5, 0.5, 0.5]),
        ("elbo(beta=4)", [4, 4, 4, 4]),
        ("elbo(beta=linear(0, 1, steps=4))", [0, 0.25, 0.5, 1]),
        ("elbo(linear(start=2, end=1, steps=2))", [2, 1.5, 1, 1]),
    ],
)
def test_an_objectives_weight_is_a_number_or_a_schedule(objective, betas):
    parts, batch = build(small_config(objective=objective), SHAPE), make_examples(6)
    terms, _ = parts.model.init_with_output(
        jax.random.key(0), jax.random.split(jax.random.key(1), (1, 6)), np.zeros((6, *SHAPE))
    )
    for step, beta in zip((0, 1, 2, 4), betas, strict=True):
        loss = parts.objective.apply({}, {}, terms, key=None, step=jnp.asarray(step), gather=None)
        np.testing.assert_allclose(loss.metrics["beta"], beta, rtol=1e-6)
        np.testing.assert_allclose(loss.value, loss.metrics["distortion"] + beta * loss.metrics["rate"], rtol=1e-5)
    assert batch.index.shape == (6,)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", {0: 1, 50: 1, 1000: 1}),
        ("warmup(10)", {0: 0, 5: 0.5, 10: 1, 1000: 1}),
        ("cosine", {0: 1, 50: 0.5, 25: (1 + np.sqrt(0.5)) / 2, 100: 0, 200: 0}),
        ("cosine(final=0.2)", {0: 1, 50: 0.6, 100: 0.2, 200: 0.2}),
        ("cosine(20, 0.1)", {0: 0, 10: 0.5, 20: 1, 60: 0.55, 100: 0.1, 200: 0.1}),
    ],
)
def test_a_schedule_takes_its_values(schedule, values):
    built = build(small_config(optimizer__schedule=schedule, optimizer__learning_rate=1e-3), SHAPE).schedule
    for step, value in values.items():
        np.testing.assert_allclose(built(step), 1e-3 * value, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("adam", optax.adam(1e-2)),
        ("adam(0.8, eps=1e-6)", optax.adam(1e-2, 0.8, eps=1e-6)),
        ("adamw(weight_decay=0.1)", optax.adamw(1e-2, weight_decay=0.1)),
        ("adamax(b2=0.99)", optax.adamax(1e-2, b2=0.99)),
        ("sgd", optax.sgd(1e-2)),
        ("sgd(momentum=0.9)", optax.sgd(1e-2, 0.9)),
    ],
)
def test_an_optimizer_takes_the_steps_of_optaxs(name, oracle):
    optimizer = build(small_config(optimizer__name=name, optimizer__learning_rate=1e-2), SHAPE).optimizer
    params = {"w": jnp.array([1.0, -2.0])}
    states = [tx.init(params) for tx in (optimizer, oracle)]
    for gradient in (0.5, -0.3):
        grads = {"w": jnp.full(2, gradient)}
        updates, states[0] = optimizer.update(grads, states[0], params)
        expected, states[1] = oracle.update(grads, states[1], params)
        np.testing.assert_allclose(updates["w"], expected["w"], rtol=1e-6)
        assert (updates["w"] != 0).all()


def test_clipping_comes_before_the_optimizer():
    optimizer = build(
        small_config(optimizer__name="sgd", optimizer__learning_rate=0.5, optimizer__clip=1.0), SHAPE
    ).optimizer
    params = {"w": jnp.zeros(2)}
    updates, _ = optimizer.update({"w": jnp.array([30.0, 40.0])}, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], [-0.3, -0.4], rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (
            "model__encoder",
            "mpl(8)",
            r"model.encoder='mpl\(8\)': 'mpl' is not a known encoder; did you mean 'mlp'\? known: mlp, linear, conv",
        ),
        ("model__encoder", "zzz", "'zzz' is not a known encoder; known: mlp, linear, conv"),
        ("model__posterior", "diagnal", "model.posterior='diagnal': .*did you mean 'diagonal'"),
        ("model__prior", "standart", "model.prior='standart': .*did you mean 'standard'"),
        ("model__likelihood", "bernouli", "model.likelihood='bernouli': .*did you mean 'bernoulli'"),
        ("data__prepare", "binarise", "data.prepare='binarise': .*did you mean 'binarize'"),
        ("optimizer__name", "adm", "optimizer.name='adm': .*did you mean 'adam'"),
        ("optimizer__schedule", "cosin", "optimizer.schedule='cosin': .*did you mean 'cosine'"),
        ("objective", "elb", "objective='elb': 'elb' is not a known objective; did you mean 'elbo'"),
        ("objective", "elbo(beta=linaer(0, 1, steps=5))", "'linaer' is not a known weight; did you mean 'linear'"),
        (
            "objective",
            "elbo(betta=2)",
            r"unexpected keyword argument 'betta'; expected elbo\(beta=1.0, free_nats=0.0, per='level'\)",
        ),
        (
            "objective",
            "elbo(1, 2, 3, 4)",
            r"too many positional arguments; expected elbo\(beta=1.0, free_nats=0.0, per='level'\)",
        ),
        (
            "objective",
            "elbo(beta='two')",
            r"beta is a number, or a schedule such as linear\(0, 1, steps=5000\); got 'two'",
        ),
        ("objective", "elbo(beta=None)", "beta is a number, .*; got None"),
        ("objective", "elbo(beta=1, beta=2)", "an argument is given twice"),
        (
            "objective",
            "elbo(beta=linear(0, 1))",
            r"missing a required .*'steps'; expected linear\(start, end, \*, steps\)",
        ),
        ("objective", "elbo(beta=linear(0, 1, steps=0))", "steps=0: expected a whole number from 1 on"),
        ("objective", "elbo + 2 * 3 * rate", r"'2 \* 3 \* rate' is no sum of objectives with a number, or a schedule"),
        (
            "objective",
            "elbo - mmd",
            r"'elbo - mmd' is no sum of objectives .*; write it like 'elbo\(\) \+ 0\.1 \* mmd\(\)'",
        ),
        (
            "objective",
            "elbo + linaer(0, 1, steps=5) * mmd",
            r"a number, or a schedule \(linear, cyclical, sigmoid\), in front",
        ),
        (
            "objective",
            "-1 * elbo",
            "a weight is a number from 0 on, got -1: below, what it weighs would grow without end",
        ),
        ("objective", "elbo + 1e39 * mmd", r"a weight is a number from 0 on, got 1e\+39: float32 does not hold it"),
        ("objective", "elbo + 'a' * mmd", "a weight is a number, or a schedule such as .*; got 'a'"),
        ("objective", "elbo" + 200 * " + mmd", "has too many terms; expected at most 100 levels"),
        ("objective", 99 * "0.1 * (" + "elbo" + 99 * ")", "is nested too deeply, .*; expected at most 100 levels"),
        (
            "objective",
            "elbo + factor(width=10000000)",
            "critic: a layer of 1e[+]07 units is too wide; expected at most",
        ),
        ("objective", "elbo + gan(channels=())", r"critic\(\) needs one or more positive whole numbers"),
        (
            "optimizer__name",
            "adam(lr=3)",
            r"unexpected keyword argument 'lr'; expected adam\(b1=0.9, b2=0.999, eps=1e-08\)",
        ),
        ("optimizer__name", "adam(schedule=3)", "'schedule' follows from other fields; expected adam"),
        (
            "model__decoder",
            "mlp(8, shape=(1, 1, 1))",
            r"'shape' follows from other fields; expected mlp\(\*widths, activation='relu', dropout=0.0, spectral=None",
        ),
        (
            "model__posterior",
            "diagonal(latent_dim=5)",
            r"'latent_dim' follows from other fields; expected diagonal\(\)",
        ),
        ("optimizer__schedule", "cosine(steps=5)", "'steps' follows from other fields"),
        ("optimizer__schedule", "warmup(0)", "steps=0: expected a whole number from 1 on"),
        ("optimizer__schedule", "warmup", r"missing a required argument: 'steps'; expected warmup\(steps\)"),
        ("optimizer__schedule", "cosine(-5)", "warmup=-5: expected a whole number from 0 on"),
        ("optimizer__schedule", "cosine(100)", "warmup=100 leaves no step of train.steps=100"),
        ("model__encoder", "mlp()", r"mlp\(\) needs one or more positive whole numbers"),
        ("model__encoder", "mlp(8.5)", "needs one or more positive whole numbers"),
        ("model__encoder", "mlp(True)", r"widths=True, where a whole number is expected; write mlp\(\*widths"),
        ("model__encoder", "mlp(0)", "needs one or more positive whole numbers"),
        ("model__encoder", "mlp(1000000000)", "a layer of 1e[+]09 units is too wide; expected at most 1,048,576"),
        ("model__encoder", f"conv({'8, ' * 600})", "conv of 600 layers is too deep; expected at most 500"),
        ("model__encoder", "resnet(8, blocks=1000000)", r"resnet of 1e\+06 layers is too deep"),
        ("model__posterior", "iaf(steps=1000, layers=1000)", r"iaf of 1e\+06 layers is too deep"),
        ("model__encoder", "conv(8, kernel=0)", "kernel=0: expected a whole number from 1 on"),
        ("model__decoder", "conv(8, dense=2.5)", "dense=2.5: expected a whole number from 1 on"),
        (
            "model__encoder",
            "mlp(8, activation='rellu')",
            "model.encoder=.*activation='rellu': expected one of 'relu'",
        ),
        ("model__decoder", "conv(8, activation='rellu')", "model.decoder=.*activation='rellu': expected one of"),
        ("model__likelihood", "gaussian(-1)", "scale is a positive number, or 'learned'"),
        ("data__prepare", "static('a')", r"static\(seed='a'\): seed is a whole number"),
        ("data__prepare", "static(18446744073709551616)", "seed is a whole number, of 64 bits at most"),
        ("model__encoder", "mlp(*[8])", r"\* and \*\* are not read; write the arguments out"),
        ("model__encoder", "mlp(**{'a': 8})", r"\* and \*\* are not read"),
        ("model__encoder", "mlp(width)", "'width' is not a literal"),
        ("model__encoder", "mlp(2 + 2)", "'2 [+] 2' is not a literal"),
        ("model__encoder", "mlp({[]: 1})", "is not a literal"),
        ("model__encoder", "os.system('ls')", "expected a name or a call of a name, such as"),
        ("model__encoder", "mlp(8)(9)", "expected a name or a call of a name"),
        ("model__encoder", "mlp(8", "is not a name or a call of literals"),
        ("model__encoder", "", "is not a name or a call of literals"),
        ("data__prepare", None, "data.prepare=None: expected text, got NoneType"),
        ("model__encoder", "no_such_file.py:mine(3)", "there is no file no_such_file.py"),
    ],
)
def test_a_wrong_string_is_refused_with_its_field_and_the_next_move(field, value, words):
    refused(words, **{field: value})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        *(
            (name, value, "expected a whole number from 1 on")
            for name in ("data__batch_size", "model__latent_dim", "train__steps")
            for value in (0, -3, 2.5, True, None, "8")
        ),
        *(
            (name, 0, f"{name.replace('__', '.')}=0: expected a whole number")
            for name in (
                "train__samples",
                "train__log_every",
                "train__validate_every",
                "train__checkpoint_every",
                "train__patience",
                "evaluate__samples",
                "evaluate__batch_size",
            )
        ),
        *(
            (name, value, f"{name.replace('__', '.')}=.*: expected a positive number")
            for name in ("optimizer__learning_rate", "optimizer__clip")
            for value in (0, -1e-3, float("nan"), float("inf"), "1e-3")
        ),
        ("optimizer__learning_rate", None, "optimizer.learning_rate=None: expected a positive number"),
        *(
            ("optimizer__ema", value, r"optimizer.ema=.*: expected a decay in \[0, 1\)")
            for value in (1, 1.5, -0.1, float("nan"), None)
        ),
        *(("train__seed", value, "train.seed=.*: expected a whole number from 0") for value in (-1, 2**32, 1.5, "3")),
        (
            "train__engine",
            "fast",
            "train.engine='fast': expected one of 'auto', 'dispatch', 'scan', 'sharded', 'sharded_scan'",
        ),
        ("data__pipeline", "fast", "data.pipeline='fast': expected one of 'auto', 'resident', 'streaming'"),
        ("model__condition", "labels", "model.condition='labels': expected one of 'none', 'label', 'vector'"),
        ("model__condition", "label", "model.condition='label' needs labels, but data.name='digits' has none that fit"),
        (
            "evaluate__splits",
            ("test", "dev"),
            "evaluate.splits=.*'dev'.*: expected one or more of 'train', 'validation'",
        ),
    ],
)
def test_a_number_or_a_choice_out_of_range_is_refused_with_its_field(field, value, words):
    refused(words, **{field: value})


@pytest.mark.parametrize("prepared", ["grey", "dequantize"])
def test_a_probability_of_0_and_1_refuses_values_between_them_and_names_both_fields(prepared):
    refused(
        rf"model.likelihood='bernoulli' is a probability of the values 0 and 1 only, but data.prepare='{prepared}' .*"
        r"Either binarize the images \(data.prepare='binarize'.*or choose model.likelihood='(continuous_b|gaussian)",
        data__prepare=prepared,
    )


def test_an_objective_that_needs_what_the_posterior_has_not_is_refused_and_names_both_fields():
    refused(
        r"objective=.iwae\('dreg'\). needs its density at any z .* and derivatives along the path of a draw of the "
        "posterior, which model.posterior='iaf' does not offer",
        objective="iwae('dreg')",
        model__posterior="iaf",
    )


def test_no_code_of_a_string_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "open('ran', 'w')"
    for text in (
        f"mlp({code})",
        f"mlp(8, activation={code})",
        code,
        f"mlp(__import__('os').system({code!r}))",
        f"[{code}]",
        f"({code}).mlp(8)",
    ):
        refused("model.encoder=", model__encoder=text)
    refused("'__import__' is not a known weight", model__encoder="mlp(__import__('os'))")
    assert not (tmp_path / "ran").exists()


@settings(max_examples=150, deadline=None, database=None)
@given(
    text=st.one_of(
        st.text(alphabet="mlpconv(),=*'\"1289.[]{}:- \x00\n_", max_size=25),
        st.recursive(
            st.sampled_from(["8", "'relu'", "-1", "2.5", "None", "()", "{}", "x", "[1, 2]"]),
            lambda inner: (
                st.builds("mlp({}, activation={})".format, inner, inner) | st.builds("linear({})".format, inner)
            ),
            max_leaves=4,
        ),
    )
)
def test_any_string_at_all_is_built_or_refused_in_words(text):
    def outcome():
        try:
            return build_part("encoder", text, {})
        except ValueError as error:
            return str(error)

    part = outcome()
    assert isinstance(part, MLPEncoder | ConvEncoder) or part.startswith("model.encoder=")


def test_a_registered_part_may_be_an_object_that_cannot_be_hashed():
    @dataclasses.dataclass
    class Wide:
        times: int

        def __call__(self, width: int = 8):
            return encoder.mlp(self.times * width)

    register("encoder", "wide", Wide(2))
    for text, width in (("wide", 16), ("wide(3)", 6)):
        config = Config(model=Model(encoder=text, decoder="mlp(8)"))
        assert build(config, SHAPE).model.encoder.widths == (width,)


def test_a_registered_part_is_built_with_what_build_knows():
    register("decoder", "plain", lambda width=8, *, shape: decoder.mlp(width, shape=shape))
    register("encoder", "twice", lambda width: encoder.mlp(width, width))
    model = build(small_config(model__decoder="plain(5)", model__encoder="twice(3)"), (4, 6, 1)).model
    assert model.decoder == decoder.mlp(5, shape=(4, 6, 1))
    assert model.encoder == encoder.mlp(3, 3)
    refused(r"expected plain\(width=8\)", model__decoder="plain(5, 6)")


def test_a_part_that_is_not_registered_in_this_process_is_refused_with_both_ways_to_it():
    refused(
        r"'my_enc' is not a known encoder; .* Register a part of your own before load or train, "
        r"jaxvae\.register\('encoder', 'my_enc', \.\.\.\), or name its file: 'my_file\.py:my_enc'",
        model__encoder="my_enc(3)",
    )


@pytest.mark.parametrize("text", [f"{kind}: {each}" for kind, table in OTHER_NAMES.items() for each in table.values()])
def test_every_name_that_stands_for_another_librarys_can_be_built(text):
    kind, _, call = text.partition(": ")
    call = call.partition(", ")[0] if kind in ("likelihood", "prior") else call
    known = {"latent_dim": 2, "data_shape": SHAPE, "shape": SHAPE, "learning_rate": 0.1, "steps": 900, "dtype": "f4"}
    known |= {"critic": critic.mlp, "image_critic": critic.conv, "remat": False, "examples": 100, "samples": 1}
    if kind == "objective":
        call = call if call != "rate" else "elbo() + rate()"
        build_objective(call, known)
    else:
        build_part(kind, call, known)


def test_a_density_of_zeros_and_ones_is_doubted():
    (doubt,) = find_doubts(small_config(model__likelihood="gaussian"), prepare.binarize(), likelihood.gaussian())
    assert doubt.startswith("note: model.likelihood='gaussian' is a density, but data.prepare='binarize' gives")
    assert find_doubts(small_config(), prepare.binarize(), likelihood.bernoulli()) == []
    assert find_doubts(small_config(), prepare.grey(), likelihood.gaussian()) == []


@pytest.mark.parametrize(
    ("kind", "factory", "words"),
    [
        ("network", encoder.mlp, r"kind='network': expected one of 'prepare', 'corrupt', 'encoder'"),
        ("encoder", 3, "expected a function that builds the part, got int"),
    ],
)
def test_a_wrong_registration_is_refused_in_words(kind, factory, words):
    with pytest.raises(ValueError, match=words):
        register(kind, "mine", factory)


def test_a_part_comes_from_a_file_of_ones_own_if_it_is_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_file.py").write_text(
        "from jaxvae.model.encoder import mlp\nopen('ran', 'w').close()\ndef mine(width):\n    return mlp(width)\n"
    )
    config = small_config(model__encoder="my_file.py:mine(3)")
    with pytest.raises(
        ValueError,
        match=r"model.encoder='my_file.py:mine\(3\)' runs code of my_file.py. If you trust it, say so: --trust",
    ):
        build(config, SHAPE, trust=False)
    assert not (tmp_path / "ran").exists()
    assert build(config, SHAPE, trust=True).model.encoder == encoder.mlp(3)
    assert (tmp_path / "ran").exists()
    refused("'main' is not a known encoder; did you mean 'mine'", model__encoder="my_file.py:main(3)")
    refused(r"expected mine\(width\)", model__encoder="my_file.py:mine()")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def mine():\n    return 1 / 0", r"mine\(\) of .*f.py failed: ZeroDivisionError: division by zero \(line 2\)"),
        (
            "def mine():\n    return None",
            "returned a NoneType; expected a Module, as the parts of .*/encoder",
        ),
        ("def mine():\n    raise ValueError('not so')", "f.py:mine': not so"),
        ("def mine(:", r"f.py cannot be run: SyntaxError: .* \(line 1\)"),
        ("x = 3", "'mine' is not a known encoder; known: "),
        ("mine = 3", "'mine' is not a known encoder"),
        ("import nothing_like_it", r"ModuleNotFoundError: .* \(line 1\)"),
        ("raise SystemExit", r"SystemExit \(line 1\)"),
        ("\0", "cannot be run"),
        ("def mine(x: 'nowhere' = 3):\n    return x", "returned a int; expected a Module"),
        (
            "import flax.linen as nn\nclass mine(nn.Module):\n    def __call__(self, x):\n        return x",
            r"a mine cannot be called as encoder\(x, condition\): too many positional",
        ),
    ],
)
def test_a_part_of_ones_own_that_is_none_is_refused_with_its_line(text, words, tmp_path):
    (tmp_path / "f.py").write_text(text)
    refused(words, model__encoder=f"{tmp_path}/f.py:mine")


def test_a_file_of_ones_own_shadows_no_module(tmp_path):
    before = sys.modules["json"]
    (tmp_path / "json.py").write_text(
        "from jaxvae.model.encoder import mlp\ndef mine(x):\n    return mlp(8, activation=x)"
    )
    assert build_part("encoder", f"{tmp_path}/json.py:mine('tanh')", {}) == encoder.mlp(8, activation="tanh")
    assert sys.modules["json"] is before


@pytest.mark.parametrize(("name", "made"), [("nonsense", 3), ("nothing", None), ("text", "mlp")])
@pytest.mark.parametrize("kind", ["prepare", "encoder", "posterior", "prior", "decoder", "likelihood", "objective"])
def test_a_registered_part_that_returns_nonsense_is_refused(kind, name, made):
    register(kind, name, lambda: made)
    with pytest.raises(ValueError, match=f"{kind}='{name}'.*{type(made).__name__}"):
        build_part(kind, name, {})


def test_what_is_refused_is_refused_before_any_array_exists(monkeypatch):
    """Even where every draw of parameters would fail."""
    monkeypatch.setattr(jax.random, "key", lambda *_: pytest.fail("drew"))
    build(small_config(), SHAPE)
    refused("data.prepare='grey'", data__prepare="grey")
