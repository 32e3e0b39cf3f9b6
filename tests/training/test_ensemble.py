"""Several members in one program, each against the same member trained alone."""

import dataclasses
import json
import shutil
import signal
from unittest import mock

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import random
from small import grey_images

import jaxvae
from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train
from jaxvae.config.serialization import save_config
from jaxvae.data.pipeline import Resident
from jaxvae.rundir import CHECKPOINTS, EVENTS, checkpoint, event_log, manifest
from jaxvae.rundir.metrics_log import read_metrics
from jaxvae.rundir.run_directory import RunDirectory
from jaxvae.rundir.state import abstract_state, first_state
from jaxvae.runtime.signals import Interrupted, Shutdown
from jaxvae.step import PREPARE
from jaxvae.terms import example_keys
from jaxvae.training.ensemble import engine as members_engine
from jaxvae.training.ensemble.members import format_summary, members_of
from jaxvae.training.ensemble.train import (
    common_step,
    initial_states,
    set_up_runs,
    take_all_steps,
    train_and_evaluate_members,
)
from jaxvae.training.setup import set_up
from jaxvae.training.train import train_and_evaluate

IMAGES = grey_images(60)  # 48 to train on: 4 steps an epoch


def tiny(optimizer=None, objective="elbo(beta=1.0)", **train) -> Config:
    train = {"steps": 30, "engine": "scan", "log_every": 7, "validate_every": 10, "checkpoint_every": 8} | train
    return Config(
        data=Data(name="arrays", batch_size=12, validation=12),
        model=Model(encoder="mlp(8)", decoder="mlp(8)"),
        objective=objective,
        optimizer=optimizer or Optimizer(),
        train=Train(**train),
        evaluate=Evaluate(samples=5, splits=("validation",)),
    )


def quiet(text: str) -> None:
    """Says nothing."""


def go(config, workdir, train=train_and_evaluate_members):
    """Trains and evaluates, without figures: they take longer than the steps."""
    with mock.patch("jaxvae.viz.figures.draw_figures"):
        return train(config, workdir, arrays=IMAGES, say=quiet)


def prepare(config, tmp_path):
    """(the members' runs, their engine, their first states)."""
    runs = set_up_runs(members_of(config), tmp_path, IMAGES, quiet)
    for run in runs:
        run.workdir.mkdir()
    engine = members_engine.make_members_engine(members_of(config), [run.experiment for run in runs])
    return runs, engine, initial_states(runs, quiet)


def alone(config, count):
    """(state, metrics) of a member after so many steps, written without an engine."""
    experiment = set_up(config, IMAGES, quiet)
    pipeline = Resident(experiment.data.splits["train"], experiment.data_key, config.data.batch_size)
    state = first_state(config, experiment.parts, experiment.init_key, experiment.train_key)
    step, metrics = jax.jit(experiment.parts.train_step), {}
    for batch, _ in zip(pipeline.batches(0), range(count), strict=False):
        state, metrics = step(state, batch)
    return state, metrics


def advance(engine, states, count):
    states, metrics = engine.advance(engine.place(states), 0, count)
    return engine.collect(states), jax.device_get(metrics)


def raw(leaf):
    return random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def assert_same_bits(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(raw(a), raw(b)), one, other)


def last_state(workdir):
    run = jaxvae.load(workdir)
    return checkpoint.restore(workdir / CHECKPOINTS, abstract_state(run.config, run.parts))


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """(workdir, runs) of two members that were never stopped."""
    workdir = tmp_path_factory.mktemp("ensemble") / "run"
    return workdir, go(tiny(seeds=2, seed=3), workdir)


# what a member computes is what it computes alone


def test_a_member_begins_with_the_bits_it_has_alone(tmp_path):
    runs, engine, states = prepare(tiny(seeds=2), tmp_path)
    for seed, state in enumerate(engine.collect(engine.place(states))):
        assert_same_bits(state, alone(tiny(seed=seed), 0)[0])
    apart = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), *(state.params for state in states))
    assert max(jax.tree.leaves(apart)) > 0.1
    assert [run.name for run in runs] == ["seed-0", "seed-1"]


@pytest.mark.parametrize("name", members_engine.MEMBERS_ENGINES)
def test_a_member_sees_its_own_batches_and_noise(name, tmp_path):
    """To the bit, over the end of an epoch."""
    config = tiny(seeds=2)
    experiments = [run.experiment for run in set_up_runs(members_of(config), tmp_path, IMAGES, quiet)]

    def spy(state, batch, *_):
        key = random.fold_in(state.key, state.step)
        keys = example_keys(random.fold_in(key, PREPARE), batch.index)[0]
        x = experiments[0].parts.prepare(keys, batch).x
        seen = {"index": batch.index, "key": random.key_data(key), "x": x}
        return state.replace(step=state.step + 1), seen

    def begin(experiment):
        state = abstract_state(config, experiment.parts)
        return dataclasses.replace(state, step=jnp.zeros((), jnp.int32), key=random.clone(experiment.train_key))

    def small(state):  # the step and the key are all that the spy looks at
        return state.replace(params={}, ema={}, opt={}, variables={}, guard=None)

    pipelines = [Resident(each.data.splits["train"], each.data_key, 12) for each in experiments]
    engine = members_engine.MEMBERS_ENGINES[name](spy, pipelines[0], [each.data_key for each in experiments])
    looked = jax.jit(spy)
    for count in (1, 4, 6):
        _, seen = advance(engine, [small(begin(each)) for each in experiments], count)
        for member, (experiment, pipeline) in enumerate(zip(experiments, pipelines, strict=True)):
            state = small(begin(experiment))
            for batch, _ in zip(pipeline.batches(0), range(count), strict=False):
                state, expected = looked(state, batch)
            for what, value in expected.items():
                np.testing.assert_array_equal(seen[what][member], value, err_msg=what)
        assert not np.array_equal(*seen["index"])


def test_a_members_step_is_the_one_it_takes_alone(tmp_path):
    """SGD, whose step is the gradient's size."""
    optimizer = Optimizer("sgd", 1e-2)
    _, engine, first = prepare(tiny(optimizer, seeds=2), tmp_path)
    states, metrics = advance(engine, first, 1)
    for seed, state in enumerate(states):
        expected, expected_metrics = alone(tiny(optimizer, seed=seed), 1)
        chex.assert_trees_all_close(state.params, expected.params, rtol=0, atol=1e-6)
        chex.assert_trees_all_close(state.ema, expected.ema, rtol=0, atol=1e-6)
        assert optax.tree.norm(jax.tree.map(jnp.subtract, expected.params, first[seed].params)) > 1e-3
        for name, value in expected_metrics.items():
            np.testing.assert_allclose(metrics[name][seed], value, rtol=1e-4, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "sweep", "expected"),
    [
        (
            tiny(Optimizer("sgd", 1e-2), objective="elbo"),
            "beta(0, 4.0)",
            ({"objective": "elbo(beta=0.0)"}, {"objective": "elbo(beta=4.0)"}),
        ),
        (
            tiny(Optimizer("sgd", 1e-2), objective="elbo(beta=1.0) + 0.1 * mmd()"),
            "beta(0.5, 2.0)",
            tuple({"objective": f"elbo(beta={beta}) + 0.1 * mmd()"} for beta in (0.5, 2.0)),
        ),
        (
            tiny(Optimizer("adam", 1.0, "cosine(warmup=2)")),
            "learning_rate(1e-3, 3e-2)",
            tuple({"optimizer": Optimizer("adam", rate, "cosine(warmup=2)")} for rate in (1e-3, 3e-2)),
        ),
    ],
)
def test_a_swept_value_is_that_of_training_with_it(config, sweep, expected, tmp_path):
    swept = dataclasses.replace(config, train=dataclasses.replace(config.train, sweep=sweep))
    _, engine, states = prepare(swept, tmp_path)
    states, _ = advance(engine, states, 3)
    ends = [alone(dataclasses.replace(config, **changed), 3)[0] for changed in expected]
    for state, end in zip(states, ends, strict=True):
        chex.assert_trees_all_close(state.params, end.params, rtol=0, atol=1e-6)
    apart = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), ends[0].params, ends[1].params)
    assert max(jax.tree.leaves(apart)) > 1e-3  # so the values do make a difference


def test_a_member_without_a_finite_loss_is_skipped_alone(tmp_path):
    _, engine, (first, second) = prepare(tiny(seeds=2, seed=3), tmp_path)
    sound, _ = advance(engine, [first, second], 6)
    broken = first.replace(params=jax.tree.map(lambda a: a * jnp.nan, first.params))
    ends, metrics = advance(engine, [broken, second], 6)
    assert_same_bits(ends[1], sound[1])
    assert_same_bits((ends[0].params, ends[0].opt), (broken.params, first.opt))
    np.testing.assert_array_equal(metrics["streak"], [6, 0])


@pytest.mark.slow
def test_a_member_that_stands_still_says_why_and_the_others_go_on(tmp_path):
    """The second learning rate is far too large: its member is diagnosed once, in its own directory."""
    said = []
    config = tiny(Optimizer("sgd", 1e-3), sweep="learning_rate(1e-3, 1e30)", validate_every=30, checkpoint_every=30)
    runs = set_up_runs(members_of(config), tmp_path, IMAGES, quiet)
    for run in runs:
        run.workdir.mkdir()
        save_config(run.workdir / "config.json", run.config, {"shape": [8, 8, 1]})
    engine = members_engine.make_members_engine(members_of(config), [run.experiment for run in runs])
    with (
        mock.patch("jaxvae.training.rollback.MAX_SKIPPED", 6),
        mock.patch("jaxvae.runtime.console.ProgressBar.print", lambda _, text: said.append(text)),
    ):
        states = take_all_steps(runs, engine, Shutdown(), quiet)
    assert [int(state.guard.skipped) for state in states] == [0, 29]
    assert [(run.workdir / EVENTS).exists() for run in runs] == [False, True]
    found = event_log.read_events(runs[1].workdir, 30)
    assert [(event["event"], event["step"]) for event in found] == [("skipped", 7), ("stopped", 7)]
    assert found[1]["first_bad_step"] == 2
    assert found[1]["layer"] is not None
    assert sum("it stands still" in text for text in said) == 1


def test_convolutions_on_a_cpu_take_turns(tmp_path):
    config = tiny(seeds=2, engine="auto")
    config.model.encoder = "conv(4, kernel=3)"
    runs = set_up_runs(members_of(config), tmp_path, IMAGES, quiet)
    engine = members_engine.make_members_engine(members_of(config), [run.experiment for run in runs])
    assert engine.name == "dispatch in turn"


@pytest.mark.parametrize(
    ("name", "convolutions", "parameters", "platform", "expected"),
    [
        ("auto", True, 10**9, "gpu", "vmapped scan"),
        ("auto", False, 10**4, "cpu", "vmapped scan"),
        ("auto", False, 10**7, "cpu", "scan in turn"),
        ("scan", False, 10**7, "cpu", "vmapped scan"),
        ("dispatch", True, 10**4, "cpu", "vmapped dispatch"),
    ],
)
def test_the_fastest_engine_of_members_is_chosen(name, convolutions, parameters, platform, expected):
    known = {"convolutions": convolutions, "parameters": parameters, "platform": platform}
    assert members_engine.choose_members_engine(name, **known) == expected


# the members' directories and their summary


def test_a_members_directory_is_that_of_the_run_alone(ensemble, tmp_path):
    workdir, runs = ensemble
    solo = go(tiny(seed=4), tmp_path / "solo", train_and_evaluate)
    assert RunDirectory(workdir / "seed-4").config == solo.config
    assert {path.name for path in (tmp_path / "solo").iterdir()} == {
        path.name for path in (workdir / "seed-4").iterdir()
    }
    tables = read_metrics(workdir / "seed-4"), read_metrics(tmp_path / "solo")
    assert [(line["step"], line["split"]) for line in tables[0]] == [
        (line["step"], line["split"]) for line in tables[1]
    ]
    for one, other in zip(*tables, strict=True):
        del one["split"], other["split"]
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4)
    scored = [json.loads((folder / "results.json").read_text()) for folder in (workdir / "seed-4", tmp_path / "solo")]
    assert scored[0]["protocol"] == scored[1]["protocol"]
    for name in ("elbo", "rate", "distortion", "log_likelihood"):
        values = [one["validation"][name]["value"] for one in scored]
        assert values[0] == pytest.approx(values[1], rel=1e-4), name
    assert_same_bits(jaxvae.load(workdir / "seed-4").variables, runs[1].variables)


def test_a_member_goes_on_alone(ensemble, tmp_path):
    shutil.copytree(ensemble[0] / "seed-3", tmp_path / "run")
    config = RunDirectory(tmp_path / "run").config
    config.train.steps = 33
    assert go(config, tmp_path / "run", train_and_evaluate).step == 33
    assert [line["step"] for line in read_metrics(tmp_path / "run") if line["split"] == "train"][-2:] == [30, 33]


def test_the_summary_is_mean_and_standard_deviation_over_members(ensemble):
    workdir, _ = ensemble
    summary = json.loads((workdir / "summary.json").read_text())
    results = [json.loads((workdir / name / "results.json").read_text()) for name in ("seed-3", "seed-4")]
    (group,) = summary["groups"]
    assert (group["members"], summary["step"]) == (["seed-3", "seed-4"], 30)
    assert set(group["validation"]) >= {"elbo", "rate", "distortion", "log_likelihood", "active_units"}
    for name in ("elbo", "log_likelihood", "active_units"):
        values = [one["validation"][name]["value"] for one in results]
        assert group["validation"][name]["mean"] == pytest.approx(np.mean(values)), name
        assert group["validation"][name]["std"] == pytest.approx(np.std(values, ddof=1)), name
        assert group["validation"][name]["n"] == 2
    assert group["validation"]["elbo"]["std"] > 0


@pytest.mark.slow
def test_stopped_members_go_on_to_the_bits_of_members_never_stopped(ensemble, tmp_path):
    """Stopped by a signal at step 20; one member lost what it saved then, so all go on from step 16."""
    config, stopped = tiny(seeds=2, seed=3), tmp_path / "run"

    def watched(experiment, state, workdir, step):
        if step == 20 and workdir.name == "seed-3":
            signal.raise_signal(signal.SIGTERM)

    with (
        mock.patch("jaxvae.training.loop.save_snapshot", watched),
        pytest.raises(Interrupted, match="stopped and saved at step 20"),
    ):
        go(config, stopped)
    assert all(manifest.saved_steps(stopped / name / CHECKPOINTS)[-1] == 20 for name in ("seed-3", "seed-4"))
    (stopped / "seed-4" / CHECKPOINTS / "20" / "manifest.json").unlink()
    go(config, stopped)
    for name in ("seed-3", "seed-4"):
        assert_same_bits(last_state(stopped / name), last_state(ensemble[0] / name))
        files = [(folder / name / "metrics.jsonl").read_bytes() for folder in (stopped, ensemble[0])]
        assert files[0] == files[1]


def test_a_diverged_member_is_named_and_left_out(tmp_path):
    config = tiny(Optimizer("sgd", 1.0), steps=150, validate_every=150, checkpoint_every=150, log_every=50)
    config.train.sweep = "learning_rate(1e-3, 1e30)"
    (run,) = go(config, tmp_path / "run")
    assert run.workdir.name == "learning_rate-0.001-seed-0"
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [member["failed"] for member in summary["members"]] == [False, True]
    assert [group["members"] for group in summary["groups"]] == [[run.workdir.name], []]


def test_where_members_go_on_from(tmp_path):
    def seal(member, *steps):
        folder = tmp_path / member / CHECKPOINTS
        folder.mkdir(parents=True, exist_ok=True)
        for step in steps:
            (folder / str(step)).mkdir()
            (folder / str(step) / "manifest.json").write_text(json.dumps({"step": step, "files": {}}))
        return folder

    folders = [seal("a", 10, 20), seal("b")]
    assert common_step(folders, 30) is None  # killed in the first save: nothing that all have
    seal("b", 10)
    assert common_step(folders, 30) == 10
    seal("b", 20)
    assert common_step(folders, 30) == 20
    (folders[1] / "20" / "manifest.json").write_text(json.dumps({"step": 20, "files": {"state/gone": {}}}))
    assert common_step(folders, 30) == 10
    seal("b", 40)
    with pytest.raises(ValueError, match=r"one of them went beyond train\.steps=30\. Nothing was overwritten"):
        common_step(folders, 30)
    with pytest.raises(ValueError, match=r"no intact checkpoint of one step .*\(a: 10, 20; c: 30\)"):
        common_step([folders[0], seal("c", 30)], 30)


# what is refused, before any work


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seeds": 0}, r"train\.seeds=0: expected a whole number from 1 on"),
        ({"seeds": 2, "seed": 2**32 - 1}, r"expected seeds below 2\*\*32"),
        ({"seeds": 2, "patience": 3}, r"train\.patience=3 would stop them at different steps"),
        ({"seeds": 2, "engine": "pmap"}, r"train\.engine='pmap' is not for them: choose one of auto, dispatch, scan"),
        ({"seeds": 2, "init_from": "pca"}, "is one solution, the same for all"),
        ({"seeds": 2, "init_from": "runs/x", "steps": 0}, r"train\.steps=0 trains none of them"),
        ({"sweep": "beta(1.0, 1)"}, r"train\.sweep='beta\(1\.0, 1\)': a value is given twice"),
        ({"sweep": "beta()"}, "expected at least one value"),
        ({"sweep": "learning_rate(-1.0)"}, "learning_rate=-1.0: expected a positive number"),
        ({"sweep": "latent_dim(2, 4)"}, r"'latent_dim' is not a known sweep.*known: beta, learning_rate"),
    ],
)
def test_members_that_cannot_be_trained_together_are_refused_in_words(changed, words):
    with pytest.raises(ValueError, match=words):
        members_of(tiny(**changed))


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ("reconstruction()", "beta is no argument of it; only a number can be swept over"),
        ("elbo(linear(0, 1, steps=5))", "beta is a schedule there"),
        (
            "elbo + rate",
            r"objective='elbo \+ rate': beta is an argument of several of its terms; a number of one alone",
        ),
        ("0.5 * (tc + mmd) + elbo(beta=2.0)", "beta is an argument of several of its terms"),
    ],
)
def test_a_beta_that_is_no_number_is_not_swept_over(objective, words):
    with pytest.raises(ValueError, match=words):
        members_of(tiny(objective=objective, sweep="beta(1.0)"))


def test_streaming_data_are_refused(tmp_path):
    config = tiny(seeds=2)
    config.data.pipeline = "streaming"
    with pytest.raises(ValueError, match=r"data\.pipeline='streaming' cannot feed them"):
        members_of(config)


def test_a_directory_of_other_members_is_refused(ensemble, tmp_path):
    with pytest.raises(ValueError, match=r"train\.seeds: 2 -> 3"):
        go(tiny(seeds=3, seed=3), ensemble[0])
    with pytest.raises(ValueError, match=r"train\.seeds: 2 -> 1"):
        go(tiny(seed=3), ensemble[0], train_and_evaluate)
    shutil.copytree(ensemble[0] / "seed-3", tmp_path / "run" / "seed-4")
    with pytest.raises(ValueError, match=r"(?s)seed-4 holds a run of another config.*train\.seed: 3 -> 4"):
        go(tiny(seeds=2, seed=3), tmp_path / "run")


def test_who_asks_for_one_run_of_several_is_told_what_to_do(ensemble, tmp_path):
    with pytest.raises(ValueError, match=r"holds several members.*seed-3, .*seed-4"):
        jaxvae.load(ensemble[0])
    with pytest.raises(ValueError, match=r"make several members: .* jaxvae\.train_members"):
        go(tiny(seeds=2), tmp_path / "run", train_and_evaluate)


def test_members_named_by_value_and_seed():
    config = tiny(seeds=2, seed=5, sweep="learning_rate(1e-5, 0.5)")
    assert [member.name for member in members_of(config)] == [
        "learning_rate-1e-05-seed-5",
        "learning_rate-1e-05-seed-6",
        "learning_rate-0.5-seed-5",
        "learning_rate-0.5-seed-6",
    ]


@pytest.mark.parametrize(
    ("count", "head"), [(1, "test, of one member,"), (2, "test, mean and standard deviation over 2 m")]
)
def test_the_summary_names_the_number_of_members(count, head):
    numbers = {"examples": 3, "elbo": {"mean": -1.0, "std": None, "n": count}}
    summary = {"groups": [{"value": {}, "members": ["a"] * count, "test": numbers}]}
    numbers["bits_per_dim_elbo"] = {"mean": 1.5, "std": None, "n": count, "of": "elbo"}
    lines = format_summary(summary)
    assert lines[0].startswith(head)
    assert lines[-1].split() == ["bits_per_dim_elbo", "1.500", "(from", "elbo)"]
