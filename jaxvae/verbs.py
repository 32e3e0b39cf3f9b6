"""What the command line does with a run directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jax import random

from jaxvae import figures, latent, plots, results
from jaxvae import report as reports
from jaxvae.experiment import Experiment, set_up
from jaxvae.run import Run, load


def evaluate(workdir: Path, *, samples: int | None, splits: Sequence[str] | None, trust: bool = False) -> None:
    """Scores the run again and renews results.json and the report."""
    run = load(workdir, trust=trust)
    chosen = {"samples": samples or run.config.evaluate.samples, "splits": tuple(splits or run.config.evaluate.splits)}
    experiment = reopened(run, chosen)
    numbers, _ = results.score(
        experiment.config, run.parts, experiment.data, experiment.evaluate, run.variables, run.step
    )
    results.write(workdir, results.read(workdir) | numbers)  # other splits keep theirs
    reports.write_report(workdir)
    print("\n".join(results.lines(numbers)))


def sample(workdir: Path, n: int, out: Path | None, *, seed: int, temperature: float, trust: bool = False) -> None:
    """Writes n images of the model: means of p(x|z) as .png, or draws x ~ p(x|z) as .npy."""
    run, out = load(workdir, trust=trust), out or workdir / "samples.png"
    if n < 1 or not temperature > 0 or out.suffix not in (".png", ".npy"):
        raise ValueError(
            f"--n {n} --temperature {temperature} --out {out}: expected n from 1 on, a positive temperature, "
            "and a .png or .npy file."
        )
    if out.suffix == ".npy":
        np.save(out, np.asarray(run.sample(random.key(seed), n, temperature=temperature)))
    else:
        _, px = latent.generate(run.model, run.variables, random.split(random.key(seed), n), temperature=temperature)
        plots.save_image(out, plots.mosaic(figures.pictures(px.mean())), cell=min(run.shape[:2]))
    print(out)


def reconstruct(workdir: Path, n: int, out: Path | None, *, seed: int, trust: bool = False) -> None:
    """Writes n test images above their reconstructions."""
    run, out = load(workdir, trust=trust), out or workdir / "reconstructions.png"
    if n < 1 or out.suffix != ".png":
        raise ValueError(f"--n {n} --out {out}: expected n from 1 on and a .png file.")
    test = reopened(run, {}).data.splits["test"]
    prepare_key, draw_key = random.split(random.key(seed))
    x = run.prepare(prepare_key, test.take(np.arange(min(n, len(test))))[0])
    plots.reconstructions(out, figures.pictures(x), figures.pictures(run.reconstruct(draw_key, x)))
    print(out)


def report(workdir: Path, *, trust: bool = False) -> None:
    """Draws the figures and writes the report again."""
    run = load(workdir, trust=trust)
    experiment = reopened(run, {})
    _, values = results.score(
        experiment.config, run.parts, experiment.data, experiment.evaluate, run.variables, run.step
    )
    figures.draw_figures(run, experiment.data, values, workdir, experiment.figure_key)
    print(reports.write_report(workdir))


def reopened(run: Run, evaluate: dict) -> Experiment:
    """The run's experiment with other fields of config.evaluate; the data are read again."""
    if run.config.data.name == "arrays":
        raise ValueError(
            f"{run.workdir} was trained on arrays of a program, which it does not hold; "
            "score them with jaxvae.load(...).log_likelihood."
        )
    return set_up(dataclasses.replace(run.config, evaluate=dataclasses.replace(run.config.evaluate, **evaluate)))
