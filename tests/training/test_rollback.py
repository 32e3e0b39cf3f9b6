"""Back to where numbers were good: how far, how often, and to the same bits whenever the run is killed on the way."""

import dataclasses
import json
import math
from contextlib import ExitStack
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as orbax
from small import grey_images

from jaxvae import objective as objectives
from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train, registry
from jaxvae.config.serialization import save_config
from jaxvae.rundir import CHECKPOINTS, CONFIG, EVENTS, checkpoint, event_log, manifest
from jaxvae.rundir.checkpoint import Saver
from jaxvae.rundir.manifest import MANIFEST
from jaxvae.rundir.state import abstract_state, first_state
from jaxvae.runtime.signals import Interrupted, Shutdown
from jaxvae.step import State
from jaxvae.training.engine import Engine
from jaxvae.training.find_nonfinite import NonfiniteFinding
from jaxvae.training.loop import TrainingRun, next_stop
from jaxvae.training.setup import Experiment, make_engine, set_up
from jaxvae.training.train import claim, take_steps_with_rollback

IMAGES = grey_images(40)
SKIPS = 6  # in place of 100: so many steps skipped in a row end in a rollback
RATE = 1e-3
BAD = {"first": 20, "most": 0.7}  # from the step of this index on the loss is not finite where updates are larger


def breaks() -> objectives.Objective:
    """elbo(), and NaN where a parameter of its own, whose gradient is -1, moved by more than `most` of a whole update.

    What is bad stands in its memory, so that one compiled step serves all tests.
    """
    plain = objectives.elbo()

    def init(key, terms):
        known = {name: jnp.float32(value) for name, value in BAD.items()}
        return {"place": jnp.zeros(())}, {"before": jnp.zeros(()), **known}

    def apply(params, memory, terms, *, key, step, gather):
        out, place = plain.apply(params, {}, terms, key=key, step=step, gather=gather), params["place"]
        here = jax.lax.stop_gradient(place)
        bad = (step >= memory["first"]) & (here - memory["before"] > memory["most"] * RATE)
        value = jnp.where(bad, jnp.nan, out.value) - (place - here)
        return objectives.Loss(value, memory | {"before": here}, out.metrics)

    return objectives.Objective(init, apply, plain.needs)


def tiny(pipeline="resident", **train) -> Config:
    train = {"steps": 32, "engine": "scan", "log_every": 3, "validate_every": 32, "checkpoint_every": 8} | train
    return Config(
        data=Data(name="arrays", batch_size=8, validation=8, pipeline=pipeline),
        model=Model(encoder="mlp(4)", decoder="mlp(4)"),
        objective="breaks()",
        optimizer=Optimizer("sgd", RATE),
        train=Train(**train),
        evaluate=Evaluate(samples=2, splits=("validation",)),
    )


class Made(NamedTuple):
    """What runs share, so that it is traced and compiled once: also the first state and the shapes of any."""

    experiment: Experiment
    engine: Engine
    first: State
    abstract: State


def made(config) -> Made:
    with mock.patch.dict(registry.TABLES["objective"], {"breaks": breaks}):
        experiment = set_up(config, IMAGES, print)
        engine = make_engine(experiment)[1]
    parts = config, experiment.parts
    first = first_state(*parts, experiment.init_key, experiment.train_key)
    return Made(experiment, engine, first, abstract_state(*parts))


@pytest.fixture(scope="module")
def scanned():
    return made(tiny())


def diagnosed(experiment, state):
    """What is found of the step after this state: test_diagnosis.py is about that."""
    return NonfiniteFinding("loss", None, f"what step {int(state.step) + 1} has")


def go(made, workdir, said=None, shutdown=None, **train):
    """Takes the remaining steps of the config, changed in these fields; returns the last state."""
    config = made.experiment.config
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, **train))
    memory = made.first.variables["objective"] | {name: jnp.float32(value) for name, value in BAD.items()}
    first = made.first.replace(variables=made.first.variables | {"objective": memory})
    workdir.mkdir(exist_ok=True)
    save_config(workdir / CONFIG, config, {"shape": [8, 8, 1]})
    with ExitStack() as patched:
        for name, value in {
            "rollback.MAX_SKIPPED": SKIPS,
            "rollback.find_first_nonfinite": diagnosed,
            "loop.validate": lambda *args: {},
            "initial_state.first_state": lambda *args: first,
            "initial_state.abstract_state": lambda *args: made.abstract,
            "rollback.abstract_state": lambda *args: made.abstract,
        }.items():
            patched.enter_context(mock.patch(f"jaxvae.training.{name}", value))
        experiment = dataclasses.replace(made.experiment, config=config)
        run, say = TrainingRun(experiment, workdir), ([] if said is None else said).append
        return take_steps_with_rollback(run, made.engine, shutdown or Shutdown(), say)


def bad(**how):
    """Other numbers for what is bad, of runs that begin under them."""
    return mock.patch.dict(BAD, how)


def events_of(workdir, name=event_log.ROLLBACK):
    return [event for event in event_log.read_events(workdir, math.inf) if event["event"] == name]


def assert_same_bits(run, other):
    """Two (state, workdir): the last states, the metrics, the events, the checkpoints to go back to, the frames."""
    (state, workdir), (its, its_workdir) = run, other
    jax.tree.map(np.testing.assert_array_equal, state.replace(key=0), its.replace(key=0))
    for name in ("metrics.jsonl", "events.jsonl"):
        assert (workdir / name).read_bytes() == (its_workdir / name).read_bytes()
    assert manifest.rollback_steps(workdir / CHECKPOINTS) == manifest.rollback_steps(its_workdir / CHECKPOINTS)
    for kept in ("samples", "codes"):
        frames = [{path.name: path.read_bytes() for path in (f / kept).iterdir()} for f in (workdir, its_workdir)]
        assert frames[0] == frames[1]


@pytest.fixture(scope="module")
def recovered(scanned, tmp_path_factory):
    """A run that went back once: ((its last state, its workdir), what it said)."""
    workdir, said = tmp_path_factory.mktemp("recovered"), []
    return (go(scanned, workdir, said), workdir), said


def test_a_run_goes_back_to_its_last_good_checkpoint_with_half_updates_and_comes_through(recovered):
    (state, workdir), said = recovered
    (event,) = events_of(workdir)
    # skipped from step 21 on; lines are due every 3 steps, and the one of step 27 ends more than SKIPS of them
    assert (event["step"], event["to"], event["scale"], event["first_bad_step"]) == (27, 16, 0.5, 21)
    assert (event["term"], event["layer"]) == ("loss", None)
    assert (int(state.step), int(state.guard.skipped), float(state.guard.scale)) == (32, 0, 0.5)
    # 16 whole updates and 16 half ones
    assert float(state.params["objective"]["place"]) == pytest.approx((16 + 16 / 2) * RATE, rel=1e-5)
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    of_train = [line for line in lines if line["split"] == "train"]
    assert [line["step"] for line in of_train] == [*range(3, 32, 3), 32]
    assert [line["scale"] for line in of_train] == [1.0] * 5 + [0.5] * 6
    assert any("going back to step 16 with updates scaled by 0.5" in text for text in said)


def killed(at):
    """A patch that ends the way back before its event, amid its removals, or after its event."""
    append, remove = event_log.append_event, checkpoint.remove_checkpoint

    def before(workdir, event, *args, **about):
        if event == event_log.ROLLBACK:
            raise KeyboardInterrupt
        append(workdir, event, *args, **about)

    def after(workdir, event, *args, **about):
        append(workdir, event, *args, **about)
        if event == event_log.ROLLBACK:
            raise KeyboardInterrupt

    def amid(path):
        if (path / MANIFEST).exists() and path.name == "24":
            (path / MANIFEST).unlink()
            raise KeyboardInterrupt
        remove(path)

    patches = {
        "before": ("rundir.event_log.append_event", before),
        "after": ("rundir.event_log.append_event", after),
        "amid": ("rundir.checkpoint.remove_checkpoint", amid),
    }
    name, function = patches[at]
    return mock.patch(f"jaxvae.{name}", function)


@pytest.mark.parametrize("at", ["before", "amid", "after"])
def test_killed_on_the_way_back_it_comes_to_the_same_bits(scanned, recovered, tmp_path, at):
    with killed(at), pytest.raises(KeyboardInterrupt):
        go(scanned, tmp_path)
    assert len(events_of(tmp_path)) == (at == "after")
    assert_same_bits(recovered[0], (go(scanned, tmp_path), tmp_path))


@pytest.mark.parametrize("step", [22, 29, 31])
def test_stopped_by_a_signal_it_comes_to_the_same_bits(scanned, recovered, tmp_path, step):
    """Among the bad steps, after they were enough but before that is seen, and after going back."""
    shutdown = Shutdown()

    def stop_at(now, *args):
        usual = next_stop(now, *args)
        if not now < step <= usual:
            return usual
        shutdown.signum = 15
        return step

    with mock.patch("jaxvae.training.loop.next_stop", stop_at), pytest.raises(Interrupted):
        go(scanned, tmp_path, shutdown=shutdown)
    # what is known to go back is not saved as if it went on
    assert manifest.saved_steps(tmp_path / CHECKPOINTS)[-1] == {29: 24}.get(step, step)
    assert_same_bits(recovered[0], (go(scanned, tmp_path), tmp_path))


@pytest.mark.soak
@pytest.mark.parametrize(
    ("engine", "pipeline"),
    [("dispatch", "streaming"), ("sharded", "resident"), ("shard_map", "streaming"), ("pmap", "resident")],
)
def test_every_engine_goes_back_alike(recovered, tmp_path, engine, pipeline):
    state = go(made(tiny(engine=engine, pipeline=pipeline)), tmp_path)
    assert events_of(tmp_path) == events_of(recovered[0][1])
    assert float(state.guard.scale) == 0.5


def test_it_goes_back_so_many_times_and_no_more(scanned, tmp_path):
    why = "first bad at step 21: what step 21 has.* went back 2 times before"
    for again in range(2):  # the same command comes to the same end
        with bad(most=0.2), pytest.raises(FloatingPointError, match=why):
            go(scanned, tmp_path, rollbacks=2, checkpoint_every=16)
        assert [(event["to"], event["scale"]) for event in events_of(tmp_path)] == [(16, 0.5), (16, 0.25)]
        assert len(events_of(tmp_path, "stopped")) == 1, again
    assert float(go(scanned, tmp_path, rollbacks=3, checkpoint_every=16).guard.scale) == 0.125  # small enough at last


def test_without_a_checkpoint_it_goes_back_to_its_first_state(scanned, tmp_path):
    state = go(scanned, tmp_path, checkpoint_every=100)
    (event,) = events_of(tmp_path)
    assert (event["to"], event["scale"]) == (0, 0.5)
    assert float(state.params["objective"]["place"]) == pytest.approx(16 * RATE, rel=1e-5)


def test_weights_that_give_bad_numbers_at_once_are_nothing_to_go_back_to(scanned, tmp_path):
    """The checkpoint of step 16 is good, and all steps after it bad."""
    with bad(first=16):
        go(scanned, tmp_path)
    assert [event["to"] for event in events_of(tmp_path)] == [8]


@pytest.mark.parametrize("first", [0, 16])
def test_where_nothing_was_learned_going_back_cannot_help(scanned, tmp_path, first):
    with bad(most=-1.0, first=first), pytest.raises(FloatingPointError, match="nothing was learned before that"):
        go(scanned, tmp_path, checkpoint_every=16)
    assert not events_of(tmp_path)


def test_a_checkpoint_that_is_not_finite_is_nothing_to_go_back_to(scanned, tmp_path):
    with mock.patch("jaxvae.rundir.checkpoint.all_finite", lambda state: int(state.step) != 16):
        go(scanned, tmp_path)
    assert [event["to"] for event in events_of(tmp_path)] == [8]


def test_another_config_in_a_workdir_without_a_checkpoint_has_whole_updates(scanned, tmp_path):
    (config, data), workdir = (scanned[0].config, scanned[0].data), tmp_path / "run"
    workdir.mkdir()
    claim(workdir, config, data, print)
    event_log.append_event(workdir, event_log.ROLLBACK, 12, to=0, scale=0.5)
    claim(workdir, config, data, print)
    assert event_log.rollback_scale(workdir, 0) == 0.5
    claim(workdir, dataclasses.replace(config, objective="elbo(beta=1.0)"), data, print)
    assert event_log.rollback_scale(workdir, 0) is None


# which checkpoints are kept, and which events


def sealed(folder, step, **manifest):
    (folder / str(step)).mkdir(parents=True)
    (folder / str(step) / MANIFEST).write_text(json.dumps({"step": step, "files": {}, **manifest}))


def test_those_to_go_back_to_are_kept_while_steps_are_skipped(tmp_path):
    good, bad = {"streak": 0, "finite": True, "regular": True}, {"streak": 9, "finite": True, "regular": True}
    about = {10: {}, 20: good | {"score": -1.0}, 30: good, 40: good, 45: good | {"regular": False}}
    about |= {50: good | {"finite": False}, 60: bad | {"score": 0.0}, 70: bad, 80: bad}
    for step, content in about.items():
        sealed(tmp_path, step, **content)
    assert manifest.rollback_steps(tmp_path) == [10, 20, 30, 40]
    with Saver(tmp_path) as saver:
        saver._prune(80)
    # the last two good ones, the best, the best of the good ones, the last two
    assert manifest.saved_steps(tmp_path) == [20, 30, 40, 60, 70, 80]


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
        event_log.append_event(tmp_path, name, at, **({} if to is None else {"to": to, "scale": next(scales)}))
    lines = (tmp_path / EVENTS).read_bytes().splitlines(keepends=True)
    assert event_log.rollback_scale(tmp_path, step) == scale
    with (tmp_path / EVENTS).open("ab") as file:
        file.write(lines[1][:-5])  # torn by a kill
    event_log.truncate_events(tmp_path, step)
    assert (tmp_path / EVENTS).read_bytes() == b"".join(lines[place] for place in expected)
    assert event_log.rollback_scale(tmp_path, step) == scale


def test_a_state_that_version_1_saved_is_read_as_one_of_today(scanned, tmp_path):
    """Its guard had three fields, its manifest no streak; what it did not know begins anew."""
    guard = dataclasses.replace(scanned.first.guard, skipped=jnp.int32(4), scale=jnp.float32(0.5))
    old = scanned.first.replace(guard={name: getattr(guard, name) for name in ("skipped", "streak", "scale")})
    sealed(tmp_path, 3, version=1, elbo=-2.0)
    orbax.save(tmp_path / "3" / "state", old)
    state = checkpoint.restore(tmp_path, scanned.abstract)
    jax.tree.map(np.testing.assert_array_equal, state.guard, guard)
    assert jax.tree.structure(state) == jax.tree.structure(scanned.abstract)
    assert manifest.rollback_steps(tmp_path) == [3]
