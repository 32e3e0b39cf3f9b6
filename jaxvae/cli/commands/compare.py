"""One table and one figure of several runs."""

import argparse
import json

from jaxvae._checks import UsageError
from jaxvae.cli.arguments import parse_path
from jaxvae.cli.open_run import EXPLORED, prepare_jax, save_arrays, set_up_run
from jaxvae.runtime.files import write_atomically

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=parse_path, nargs="+", metavar="RUN", help="run directories")
    parser.add_argument("--trust", action="store_true", help="let the runs' configs import parts from files")
    parser.add_argument("--data_dir", help="where TFDS prepared the data, if not where it was when they were trained")
    text = "a folder for the table and the figure (default: explored/compared of the first run)"
    parser.add_argument("--out", dest="out_folder", type=parse_path, metavar="OUT", help=text)
    parser.add_argument("--mixed", action="store_true", help="compare runs of different data or protocols all the same")


def run(arguments: argparse.Namespace) -> None:
    """Prints the table and writes it as table.md and table.json, with figure.png, .svg and .npz, into the folder.

    Runs that were not measured in the same way are refused, unless --mixed is given.
    """
    prepare_jax()
    from jax import random

    from jaxvae.viz.figures.comparison import MAX_COMPARED, compute_panel, plot_comparison, read_rate_distortion
    from jaxvae.viz.figures.subject import Subject
    from jaxvae.viz.report import comparison

    found = comparison.read_runs(arguments.runs)
    folder = arguments.out_folder or arguments.runs[0] / EXPLORED / "compared"
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
