"""The figures of a run. A figure is one file: `compute_*` needs a model and returns arrays, `plot_*` draws these."""

import inspect
import logging
from pathlib import Path

import numpy as np
from jax import Array, random

from jaxvae.config.registry import split_list
from jaxvae.config.user_file import describe_error
from jaxvae.data.dataset import DataSet
from jaxvae.rundir.run import Run
from jaxvae.viz.figures.images import conditions, pictures
from jaxvae.viz.figures.subject import Subject
from jaxvae.viz.report import captions

__all__ = ["FIGURES_FOLDER", "check_figures", "conditions", "draw_figures", "pictures"]

FIGURES_FOLDER = "figures"  # the folder of a run directory
_log = logging.getLogger("jaxvae")


def check_figures(which: str, *, trust: bool = True) -> None:
    """Raises UsageError unless evaluate.figures names known figures."""
    if which not in ("all", "few", "none"):  # without these, nothing is imported
        from jaxvae.viz.figures.table import select_figures

        select_figures(which, trust=trust)


def draw_figures(
    run: Run, data: DataSet, scored: dict[str, dict[str, np.ndarray]], workdir: Path, key: Array, which: str = "all"
) -> None:
    """Draws the figures of the run that `which` names, as evaluate.figures does, and removes those of other weights.

    A figure that the run cannot have is left out, as is, with a warning, a user's own one that fails. `scored` are
    every example's values by split, as `scoring.score` returned them.
    """
    # not at the top: matplotlib takes a third of a second to import, for which the first step would wait
    from jaxvae.viz.figures import table

    folder = workdir / FIGURES_FOLDER
    folder.mkdir(exist_ok=True)
    chosen = table.select_figures(which)
    for name in {*captions.CAPTIONS, *chosen}:  # other files of the folder are the user's
        for suffix in (".png", ".svg", ".gif", ".npz"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
    split = "test" if "test" in scored else next(iter(scored))
    subject = Subject(run, data, split, random.clone(key), scored[split], workdir)
    for name, figure in chosen.items():
        if missing := next((need for need in figure.needs if not table.REQUIREMENTS[need](subject)), None):
            if name in split_list(which):
                _log.warning("evaluate.figures: %s is not drawn: it needs %s.", name, missing)
            continue
        try:
            found = figure.compute(subject)
            if found is not None:
                figure.plot(folder / (figure.file or f"{name}.png"), found)
        except Exception as error:
            if figure.own is None:
                raise
            code = getattr(inspect.unwrap(figure.own), "__code__", None)
            reason = describe_error(error, getattr(code, "co_filename", ""))
            _log.warning("evaluate.figures: %s is not drawn: %s", name, reason)
