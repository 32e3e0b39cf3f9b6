"""The figures of a run. A figure is one file: `compute_*` needs a model and returns arrays, `plot_*` draws these."""

from pathlib import Path

import numpy as np
from jax import Array, random

from jaxvae.data.dataset import DataSet
from jaxvae.rundir.run import Run
from jaxvae.rundir.snapshots import read_codes, read_frames, remove_snapshots_after, save_codes, save_frame
from jaxvae.viz.figures.images import conditions, pictures
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.report import captions

__all__ = ["FIGURES", "Subject", "conditions", "draw_figures", "pictures", "read_codes", "read_frames"]
__all__ += ["remove_snapshots_after", "save_codes", "save_frame"]

FIGURES = "figures"  # the folder of a run directory


def draw_figures(
    run: Run, data: DataSet, scored: dict[str, dict[str, np.ndarray]], workdir: Path, key: Array, which: str = "all"
) -> None:
    """Draws the figures of the run, 'all', 'few' or 'none', and removes older ones, which show other weights.

    `scored` are every example's values by split, as `scoring.score` returned them.
    """
    folder = workdir / FIGURES
    folder.mkdir(exist_ok=True)
    for name in captions.CAPTIONS:  # other files of the folder are the user's
        for suffix in (".png", ".svg", ".gif", ".npz"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
    if which == "none":
        return
    # not at the top: matplotlib takes a third of a second to import, for which the first step would wait
    from jaxvae.viz.figures import table

    split = "test" if "test" in scored else next(iter(scored))
    subject = Subject(run, data, split, random.clone(key), scored[split], workdir)
    for name, figure in table.FIGURES.items():
        if (which == "few" and not figure.few) or not all(table.REQUIREMENTS[need](subject) for need in figure.needs):
            continue
        found = figure.compute(subject)
        if found is not None:
            figure.plot(folder / (figure.file or f"{name}.png"), found)
