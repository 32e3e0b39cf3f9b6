"""The verbs of what a run directory reports: evaluate, report and compare."""

import argparse
import dataclasses
import json
from pathlib import Path

from jaxvae._checks import UsageError
from jaxvae.cli.arguments import add_run, parse_path
from jaxvae.cli.open_run import open_run, prepare_jax, save_arrays, set_up_run
from jaxvae.runtime.files import write_atomically

__all__ = ["add_compare_arguments", "add_evaluate_arguments", "add_report_arguments"]
__all__ += ["run_compare", "run_evaluate", "run_report"]


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--samples", type=int, help="K of the importance-weighted log-likelihood")
    parser.add_argument("--splits", nargs="+", help="train, validation, test")


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Scores the run and writes results.json and the report; splits not given keep their numbers of this step."""
    run, workdir = open_run(arguments), arguments.run
    from jaxvae.rundir import disk_space, results
    from jaxvae.rundir.lock import lock_run_directory
    from jaxvae.training import diagnosis, scoring
    from jaxvae.viz import report

    given = {"samples": arguments.samples, "splits": arguments.splits and tuple(arguments.splits)}
    changes = {name: value for name, value in given.items() if value is not None}
    chosen = dataclasses.replace(run.config.evaluate, **changes)
    experiment = set_up_run(dataclasses.replace(run.config, evaluate=chosen), arguments.data_dir, trust=arguments.trust)
    with lock_run_directory(workdir, print, arguments.shutdown), disk_space.explain_full_disk(workdir):
        variables = experiment.layout.replicate(run.variables)
        numbers, values = scoring.score(experiment, variables, run.step)
        diagnosis.diagnose(experiment, variables, numbers, values, workdir)
        before = results.read_results(workdir)
        results.write_results(workdir, (before if before.get("step") == run.step else {}) | numbers)
        report.write_report(workdir)
    print("\n".join(results.format_results(numbers)))


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)


def run_report(arguments: argparse.Namespace) -> None:
    run, workdir = open_run(arguments), arguments.run
    from jaxvae.rundir import disk_space
    from jaxvae.rundir.lock import lock_run_directory
    from jaxvae.training import scoring
    from jaxvae.viz import figures
    from jaxvae.viz.report import write_report

    experiment = set_up_run(run.config, arguments.data_dir, trust=arguments.trust)
    one_sample = dataclasses.replace(run.config.evaluate, samples=1)  # the figures need values, not a tight bound
    quick = dataclasses.replace(experiment, config=dataclasses.replace(experiment.config, evaluate=one_sample))
    with lock_run_directory(workdir, print, arguments.shutdown), disk_space.explain_full_disk(workdir):
        _, values = scoring.score(quick, experiment.layout.replicate(run.variables), run.step)
        which = run.config.evaluate.figures
        which = "all" if which in ("few", "none") else which
        figures.draw_figures(run, experiment.data, values, workdir, experiment.figure_key, which)
        print(write_report(workdir))


def add_compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=parse_path, nargs="+", metavar="RUN", help="run directories")
    parser.add_argument("--trust", action="store_true", help="let the runs' configs import parts from files")
    parser.add_argument("--data_dir", help="where TFDS prepared the data, if not where it was when they were trained")
    text = "a folder for the table and the figure (default: compared)"
    parser.add_argument("--out", dest="out_folder", type=parse_path, metavar="OUT", default=Path("compared"), help=text)
    parser.add_argument("--mixed", action="store_true", help="compare runs of different data or protocols all the same")


def run_compare(arguments: argparse.Namespace) -> None:
    """Prints the table and writes it as table.md and table.json, with figure.png, .svg and .npz, into the folder.

    Runs that were not measured in the same way are refused, unless --mixed is given.
    """
    prepare_jax()
    from jax import random

    from jaxvae.viz.figures.comparison import MAX_COMPARED, compute_panel, plot_comparison, read_rate_distortion
    from jaxvae.viz.figures.subject import Subject
    from jaxvae.viz.report import comparison

    found, folder = comparison.read_runs(arguments.runs), arguments.out_folder
    if len(found) < 2:
        raise UsageError(f"compare takes two runs or more, and {len(found)} was given: name another run directory.")
    if not arguments.mixed:
        comparison.require_one_protocol(found)
    table = comparison.compare_runs(found)
    print(comparison.as_text(table))
    folder.mkdir(parents=True, exist_ok=True)
    numbers = json.dumps(table.as_json(), indent=1, allow_nan=False)
    texts = {"table.md": comparison.as_markdown(table), "table.json": numbers}
    for name, text in texts.items():
        write_atomically(folder / name, text.encode())
        print(folder / name)
    panels, figure = {}, folder / "figure.png"
    for one in found[:MAX_COMPARED]:
        data = set_up_run(one.run.config, arguments.data_dir).data
        panels[one.name] = compute_panel(Subject(one.run, data, "test", random.key(0)))
    # Points of runs that are not comparable are not charted.
    points = {one.name: None if table.differs else read_rate_distortion(one.test) for one in found[:MAX_COMPARED]}
    plot_comparison(figure, panels, points)
    save_arrays(figure, panels)
    if len(found) > MAX_COMPARED:
        print(f"the figure shows the first {MAX_COMPARED} of {len(found)} runs.")
