"""Score a trained run again, with more samples or other splits."""

import argparse
import dataclasses

from jaxvae.cli.arguments import add_run
from jaxvae.cli.open_run import open_run, set_up_run
from jaxvae.config.schema import SPLITS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--samples", type=int, help="K of the importance-weighted log-likelihood")
    parser.add_argument("--splits", nargs="+", choices=SPLITS, help="default: those of the config")


def run(arguments: argparse.Namespace) -> None:
    """Scores the run and writes results.json and the report; splits not given keep their numbers of this step."""
    run, workdir = open_run(arguments), arguments.run
    from jaxvae.rundir import results
    from jaxvae.rundir.lock import lock_run_directory
    from jaxvae.rundir.run_directory import RunDirectory
    from jaxvae.rundir.scores import write_scores
    from jaxvae.training import diagnosis, scoring
    from jaxvae.viz import report

    directory = RunDirectory(workdir)
    _ = directory.config_json, directory.environment, directory.metrics  # the report needs them: refused before scoring
    given = run.config.evaluate
    samples, splits = arguments.samples or given.samples, tuple(arguments.splits or given.splits)
    chosen = dataclasses.replace(given, samples=samples, splits=splits)
    experiment = set_up_run(dataclasses.replace(run.config, evaluate=chosen), arguments.data_dir, trust=arguments.trust)
    with lock_run_directory(workdir, print, arguments.shutdown):
        variables = experiment.layout.replicate(run.variables)
        numbers, values = scoring.score(experiment, variables, run.step)
        diagnosis.diagnose(experiment, variables, numbers, values, workdir)
        write_scores(workdir, run.step, values)
        before = results.read_results(workdir)
        results.write_results(workdir, (before if before.get("step") == run.step else {}) | numbers)
        report.write_report(workdir)
    print("\n".join(results.format_results(numbers)))
