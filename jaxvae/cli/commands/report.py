"""Draw a run's figures and write its report.html again."""

import argparse
import dataclasses

from jaxvae.cli.arguments import add_run
from jaxvae.cli.open_run import open_run, set_up_run

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)


def run(arguments: argparse.Namespace) -> None:
    run, workdir = open_run(arguments), arguments.run
    from jaxvae.rundir.lock import lock_run_directory
    from jaxvae.training import scoring
    from jaxvae.viz import figures
    from jaxvae.viz.report import write_report

    experiment = set_up_run(run.config, arguments.data_dir, trust=arguments.trust)
    one_sample = dataclasses.replace(run.config.evaluate, samples=1)  # the figures need values, not a tight bound
    quick = dataclasses.replace(experiment, config=dataclasses.replace(experiment.config, evaluate=one_sample))
    with lock_run_directory(workdir, print, arguments.shutdown):
        _, values = scoring.score(quick, experiment.layout.replicate(run.variables), run.step)
        which = run.config.evaluate.figures
        which = "all" if which in ("few", "none") else which
        figures.draw_figures(run, experiment.data, values, workdir, experiment.figure_key, which)
        print(write_report(workdir))
