"""Back to where numbers were good: how far, how often, and to the same bits whenever the run is killed on the way."""

import contextlib
import json
import math
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import random
from small import grey_images

import jaxvae
from jaxvae import build, checkpoint, events
from jaxvae import objective as objectives
from jaxvae.checkpoint import MANIFEST, Saver
from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train
from jaxvae.interrupt import Interrupted
from jaxvae.loop import train_and_evaluate
from jaxvae.run import CHECKPOINTS, abstract_state

IMAGES = grey_images(40)
SKIPS = 6  # in place of 100: so many steps skipped in a row end in a rollback
BAD = 20  # from the step of this index on the loss is not finite where updates are too large
RATE = 1e-3


def breaks(most: float, first: int = BAD) -> objectives.Objective:
    """elbo(), and NaN from a step on where a parameter of its own, whose gradient is -1, moved by more than `most`."""
    plain = objectives.elbo()

    def init(key, terms):
        return {"place": jnp.zeros(())}, {"before": jnp.zeros(())}

    def apply(params, memory, terms, *, key, step, gather):
        out, place = plain.apply(params, memory, terms, key=key, step=step, gather=gather), params["place"]
        moved = jax.lax.stop_gradient(place - memory["before"])
        value = out.value - (place - jax.lax.stop_gradient(place))
        value = jnp.where((step >= first) & (moved > most * RATE), jnp.nan, value)
        return objectives.Loss(value, {"before": jax.lax.stop_gradient(place)}, out.metrics)

    return objectives.Objective(init, apply, plain.needs)


@pytest.fixture(scope="module", autouse=True)
def registered():
    with mock.patch.dict(build.TABLES["objective"]):
        jaxvae.register("objective", "breaks", breaks)
        yield


def tiny(objective="breaks(0.7)", pipeline="resident", **train) -> Config:
    """Whole updates move too far from step BAD on, half ones do not."""
    train = {"steps": 40, "engine": "scan", "log_every": 3, "validate_every": 10, "checkpoint_every": 8} | train
    return Config(
        data=Data(name="arrays", batch_size=8, validation=8, pipeline=pipeline),
        model=Model(encoder="mlp(8)", decoder="mlp(8)"),
        objective=objective,
        optimizer=Optimizer("sgd", RATE, clip=None),
        train=Train(**train),
        evaluate=Evaluate(samples=2, splits=("validation",)),
    )


def go(config, workdir, said=None):
    """Trains, and leaves out the evaluation: it is that of any run."""
    with mock.patch("jaxvae.loop.conclude"), mock.patch("jaxvae.rollback.MOST_SKIPS", SKIPS):
        return train_and_evaluate(config, workdir, arrays=IMAGES, say=([] if said is None else said).append)


def events_of(workdir, name=events.ROLLBACK):
    return [event for event in events.read(workdir, math.inf) if event["event"] == name]


def final_state(run):
    return checkpoint.restore(run.workdir / CHECKPOINTS, abstract_state(run.config, run.parts))


def assert_same_bits(one, other):
    """The last states, every line of the metrics, the events, and which checkpoints and frames there are."""

    def raw(leaf):
        return random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf

    jax.tree.map(lambda a, b: np.testing.assert_array_equal(raw(a), raw(b)), final_state(one), final_state(other))
    for name in ("metrics.jsonl", "events.jsonl"):
        assert (one.workdir / name).read_bytes() == (other.workdir / name).read_bytes()
    for name in (CHECKPOINTS, "samples"):
        assert {path.name for path in (one.workdir / name).iterdir()} == {
            path.name for path in (other.workdir / name).iterdir()
        }


@pytest.fixture(scope="module")
def recovered(tmp_path_factory):
    """(a run that went back once, what it said)."""
    said = []
    return go(tiny(), tmp_path_factory.mktemp("recovered") / "run", said), said


def test_a_run_goes_back_to_its_last_good_checkpoint_with_half_updates_and_comes_through(recovered):
    run, said = recovered
    (event,) = events_of(run.workdir)
    # skipped from step 21 on; lines are due every 3 steps, and the one of step 27 ends more than SKIPS of them
    assert (event["step"], event["to"], event["scale"], event["first_bad_step"]) == (27, 16, 0.5, 21)
    assert (event["term"], event["layer"]) == ("loss", None)
    state = final_state(run)
    assert (int(state.step), int(state.guard.skipped), float(state.guard.scale)) == (40, 0, 0.5)
    # 16 whole updates and 24 half ones
    assert float(state.params["objective"]["place"]) == pytest.approx((16 + 24 / 2) * RATE, rel=1e-5)
    lines = [json.loads(line) for line in (run.workdir / "metrics.jsonl").read_text().splitlines()]
    of_train = [line for line in lines if line["split"] == "train"]
    assert [line["step"] for line in of_train] == [*range(3, 40, 3), 40]
    assert [line["scale"] for line in of_train] == [1.0] * 5 + [0.5] * 9
    assert any("going back to step 16 with updates scaled by 0.5" in text for text in said)
    assert jaxvae.load(run.workdir).step == 40


def killed(at):
    """A patch that ends the way back before its event, amid its removals, or after its event."""
    append, remove = events.append, checkpoint.remove

    def before(workdir, event, *args, **about):
        if event == events.ROLLBACK:
            raise KeyboardInterrupt
        append(workdir, event, *args, **about)

    def after(workdir, event, *args, **about):
        append(workdir, event, *args, **about)
        if event == events.ROLLBACK:
            raise KeyboardInterrupt

    def amid(path):
        if (path / MANIFEST).exists() and path.name == "24":
            (path / MANIFEST).unlink()
            raise KeyboardInterrupt
        remove(path)

    patches = {
        "before": ("events.append", before),
        "after": ("events.append", after),
        "amid": ("checkpoint.remove", amid),
    }
    name, function = patches[at]
    return mock.patch(f"jaxvae.{name}", function)


@pytest.mark.parametrize("at", ["before", "amid", "after"])
def test_killed_on_the_way_back_it_comes_to_the_same_bits(recovered, tmp_path, at):
    with killed(at), pytest.raises(KeyboardInterrupt):
        go(tiny(), tmp_path / "run")
    assert len(events_of(tmp_path / "run")) == (at == "after")
    assert_same_bits(recovered[0], go(tiny(), tmp_path / "run"))


@pytest.mark.parametrize("step", [18, 22, 29, 35])
def test_stopped_by_a_signal_it_comes_to_the_same_bits(recovered, tmp_path, step):
    """Before the bad steps, among them, after they were enough but before that is seen, and after going back."""
    caught = []

    @contextlib.contextmanager
    def interruptible():
        yield caught

    def stop_at(now, *args):
        usual = min(40, *((now // n + 1) * n for n in (3, 10, 8)))
        if not now < step <= usual:
            return usual
        caught.append(15)
        return step

    patches = mock.patch("jaxvae.loop.interruptible", interruptible), mock.patch("jaxvae.loop.next_stop", stop_at)
    with patches[0], patches[1], pytest.raises(Interrupted):
        go(tiny(), tmp_path / "run")
    # what is known to go back is not saved as if it went on
    assert checkpoint.steps(tmp_path / "run" / CHECKPOINTS)[-1] == {29: 24}.get(step, step)
    assert_same_bits(recovered[0], go(tiny(), tmp_path / "run"))


@pytest.mark.parametrize(("engine", "pipeline"), [("dispatch", "streaming"), ("sharded", "resident")])
def test_every_engine_goes_back_alike(recovered, tmp_path, engine, pipeline):
    run = go(tiny(engine=engine, pipeline=pipeline), tmp_path / "run")
    assert events_of(run.workdir) == events_of(recovered[0].workdir)
    assert float(final_state(run).guard.scale) == 0.5


def test_it_goes_back_so_many_times_and_no_more(tmp_path):
    config = tiny("breaks(0.1)", rollbacks=2)
    for again in range(2):  # the same command comes to the same end
        with pytest.raises(FloatingPointError, match=r"first bad at step 21: the loss.* went back 2 times before"):
            go(config, tmp_path / "run")
        assert [(event["to"], event["scale"]) for event in events_of(tmp_path / "run")] == [(16, 0.5), (16, 0.25)]
        assert len(events_of(tmp_path / "run", "stopped")) == 1, again
    config.train.rollbacks = 4  # 0.0625 of an update is small enough
    run = go(config, tmp_path / "run")
    assert float(final_state(run).guard.scale) == 0.0625


def test_without_a_checkpoint_it_goes_back_to_its_first_state(tmp_path):
    run = go(tiny(checkpoint_every=100, validate_every=100), tmp_path / "run")
    (event,) = events_of(run.workdir)
    assert (event["to"], event["scale"]) == (0, 0.5)
    assert float(final_state(run).params["objective"]["place"]) == pytest.approx(20 * RATE, rel=1e-5)


def test_weights_that_give_bad_numbers_at_once_are_nothing_to_go_back_to(tmp_path):
    """The checkpoint of step 20 is good, and all steps after it bad."""
    run = go(tiny(checkpoint_every=10), tmp_path / "run")
    assert [event["to"] for event in events_of(run.workdir)] == [10]


@pytest.mark.parametrize("objective", ["breaks(-1.0, first=0)", "breaks(-1.0, first=16)"])
def test_where_nothing_was_learned_going_back_cannot_help(tmp_path, objective):
    config = tiny(objective, checkpoint_every=16, validate_every=50)
    with pytest.raises(FloatingPointError, match="nothing was learned before that"):
        go(config, tmp_path / "run")
    assert not events_of(tmp_path / "run")


def test_a_checkpoint_that_is_not_finite_or_damaged_is_nothing_to_go_back_to(recovered, tmp_path):
    def is_finite(tree):
        return int(tree.step) != 16

    with mock.patch("jaxvae.checkpoint.is_finite", is_finite):
        run = go(tiny(), tmp_path / "run")
    assert [event["to"] for event in events_of(run.workdir)] == [10]
    assert jaxvae.load(run.workdir).step == 40


def test_another_config_in_a_workdir_without_a_checkpoint_has_whole_updates(tmp_path):
    config = tiny("breaks(-1.0)", checkpoint_every=100, validate_every=100, rollbacks=1)
    with pytest.raises(FloatingPointError):
        go(config, tmp_path / "run")
    assert float(final_state(go(tiny(), tmp_path / "run")).guard.scale) == 0.5  # its own rollback's alone


# which checkpoints are kept, and which events


def sealed(folder, step, **manifest):
    (folder / str(step)).mkdir(parents=True)
    (folder / str(step) / MANIFEST).write_text(json.dumps({"step": step, "files": {}, **manifest}))


def test_those_to_go_back_to_are_kept_while_steps_are_skipped(tmp_path):
    good, bad = {"streak": 0, "finite": True, "regular": True}, {"streak": 9, "finite": True, "regular": True}
    about = {10: {}, 20: good | {"score": -1.0}, 30: good, 40: good, 45: good | {"regular": False}}
    about |= {50: good | {"finite": False}, 60: bad | {"score": 0.0}, 70: bad, 80: bad}
    for step, manifest in about.items():
        sealed(tmp_path, step, **manifest)
    assert checkpoint.good_steps(tmp_path) == [10, 20, 30, 40]
    with Saver(tmp_path) as saver:
        saver._prune(80)
    # the last two good ones, the best, the best of the good ones, the last two
    assert checkpoint.steps(tmp_path) == [20, 30, 40, 60, 70, 80]


ROLLBACKS = [
    ("skipped", 3, None),
    ("rollback", 27, 16),
    ("spikes", 18, None),
    ("rollback", 25, 8),
    ("rollback", 40, 24),
]


@pytest.mark.parametrize(
    ("step", "expected", "scale"),
    [
        (0, [], None),  # the rollbacks will come again
        (8, [0, 1, 3], 0.25),  # that to 16 came before, and led there
        (16, [0, 1, 3], None),  # saved anew after the second rollback: its own scale counts
        (24, [0, 1, 2, 3, 4], 0.125),
        (32, [0, 1, 2, 3, 4], None),
    ],
)
def test_the_events_of_a_run_that_goes_on_from_a_step(tmp_path, step, expected, scale):
    scales = iter((0.5, 0.25, 0.125))
    for name, at, to in ROLLBACKS:
        events.append(tmp_path, name, at, **({} if to is None else {"to": to, "scale": next(scales)}))
    lines = (tmp_path / events.EVENTS).read_bytes().splitlines(keepends=True)
    assert events.scale_at(tmp_path, step) == scale
    with (tmp_path / events.EVENTS).open("ab") as file:
        file.write(lines[1][:-5])  # torn by a kill
    events.cut(tmp_path, step)
    assert (tmp_path / events.EVENTS).read_bytes() == b"".join(lines[place] for place in expected)
    assert events.scale_at(tmp_path, step) == scale
