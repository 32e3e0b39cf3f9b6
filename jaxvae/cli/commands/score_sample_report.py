"""Score a run again, draw from it, reconstruct with it, report it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jax import random

from jaxvae._checks import UsageError
from jaxvae.cli.commands.open_run import reopened
from jaxvae.rundir import disk_space, results
from jaxvae.rundir.lock import alone_in
from jaxvae.rundir.run import load
from jaxvae.training import diagnosis, scoring
from jaxvae.viz import figures, plots
from jaxvae.viz import report as reports


def evaluate(
    workdir: Path,
    *,
    samples: int | None,
    splits: Sequence[str] | None,
    data_dir: str | None = None,
    trust: bool = False,
) -> None:
    """Scores the run again and renews results.json and the report; splits not named keep their numbers of this step."""
    run = load(workdir, trust=trust)
    asked = run.config.evaluate
    asked = dataclasses.replace(
        asked,
        samples=asked.samples if samples is None else samples,
        splits=asked.splits if splits is None else tuple(splits),
    )
    experiment = reopened(dataclasses.replace(run.config, evaluate=asked), data_dir)
    with alone_in(workdir, print), disk_space.in_words(workdir):
        variables = experiment.layout.put_whole(run.variables)
        numbers, values = scoring.score(experiment, variables, run.step)
        diagnosis.diagnose(experiment, variables, numbers, values, workdir)
        before = results.read(workdir)
        results.write(workdir, (before if before.get("step") == run.step else {}) | numbers)
        reports.write_report(workdir)
    print("\n".join(results.lines(numbers)))


def sample(workdir: Path, n: int, out: Path | None, *, seed: int, temperature: float, trust: bool = False) -> None:
    """Writes n images of the model: means of p(x|z) as .png, or draws x ~ p(x|z) as .npy; classes in turn, if any."""
    run, out = load(workdir, trust=trust), out or workdir / "samples.png"
    if n < 1 or not temperature > 0 or out.suffix not in (".png", ".npy"):
        raise UsageError(
            f"--n {n} --temperature {temperature} --out {out}: expected n from 1 on, a positive temperature, "
            "and a .png or .npy file."
        )
    if run.config.model.condition == "vector":
        raise UsageError(
            "this model depends on a vector (model.condition='vector'), which a command line cannot give; "
            "use jaxvae.load(...).sample(key, n, condition=vectors)."
        )
    classes = None if run.parts.condition_size is None else np.arange(n) % run.parts.condition_size
    if out.suffix == ".npy":
        np.save(out, np.asarray(run.sample(random.key(seed), n, temperature=temperature, condition=classes)))
    else:
        _, px = run.generate(random.split(random.key(seed), n), temperature=temperature, condition=classes)
        plots.save_image(out, plots.mosaic(figures.pictures(px.mean())), cell=min(run.shape[:2]))
    print(out)


def reconstruct(
    workdir: Path, n: int, out: Path | None, *, seed: int, data_dir: str | None = None, trust: bool = False
) -> None:
    """Writes n test images above their reconstructions; of a model trained on corrupted inputs, with these between."""
    run, out = load(workdir, trust=trust), out or workdir / "reconstructions.png"
    if n < 1 or out.suffix != ".png":
        raise UsageError(f"--n {n} --out {out}: expected n from 1 on and a .png file.")
    splits = reopened(run.config, data_dir).data.splits
    split = splits.get("test") or splits["train"]
    figures.draw_reconstructions(out, run, split, n, random.split(random.key(seed)))
    print(out)


def report(workdir: Path, *, data_dir: str | None = None, trust: bool = False) -> None:
    """Draws the figures and writes the report again."""
    run = load(workdir, trust=trust)
    experiment = reopened(run.config, data_dir)
    few = dataclasses.replace(experiment.config, evaluate=dataclasses.replace(run.config.evaluate, samples=1))
    variables = experiment.layout.put_whole(run.variables)
    with alone_in(workdir, print), disk_space.in_words(workdir):
        _, values = scoring.score(dataclasses.replace(experiment, config=few), variables, run.step)
        figures.draw_figures(run, experiment.data, values, workdir, experiment.figure_key)
        print(reports.write_report(workdir))
