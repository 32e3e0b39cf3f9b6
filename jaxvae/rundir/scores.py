"""The scores of every image, scores.npz: what paired comparisons of runs are made of."""

import io
import logging
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.rundir import SCORES
from jaxvae.runtime.files import open_regular, write_atomically

__all__ = ["PAIRED", "paired_difference", "read_scores", "write_scores"]

PAIRED = ("elbo", "log_likelihood", "rate", "distortion")
_log = logging.getLogger("jaxvae")


def write_scores(workdir: Path, step: int, values: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Writes the numbers PAIRED of every image, by split; splits scored before at the same step are kept.

    Args:
      step: of the weights that were scored.
      values: {split: {name: [N]}} in nats, in stored order.
    """
    before = _read(workdir)
    kept = {} if before.get("step") != step else before
    scores = {f"{split}.{name}": own[name] for split, own in values.items() for name in PAIRED if name in own}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **(kept | scores | {"step": np.asarray(step)}))
    write_atomically(workdir / SCORES, stream.getvalue())


def read_scores(workdir: Path, split: str, results: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns {name: [N]} of a split; only those whose mean is the number of results.json, so that both agree."""
    arrays = _read(workdir)
    found = {name: arrays.get(f"{split}.{name}") for name in PAIRED}
    numbers = {name: results.get(name, {}).get("value") for name in found}
    return {
        name: array
        for name, array in found.items()
        if array is not None and array.ndim == 1 and array.dtype.kind == "f" and numbers[name] is not None
        if np.isclose(array.mean(dtype=float), numbers[name], rtol=1e-6)
    }


def paired_difference(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Returns the mean of one - other, both [N] over the same images, and its standard error, as value and stderr."""
    difference = one.astype(float) - other
    return {"value": float(difference.mean()), "stderr": float(difference.std(ddof=1) / np.sqrt(len(difference)))}


def _read(workdir: Path) -> dict[str, np.ndarray]:
    """Returns the content; {} without the file, and with a warning if it is damaged."""
    try:
        with open_regular(workdir / SCORES) as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        _log.warning("%s is damaged (%s): runs are compared without it.", workdir / SCORES, error)
        return {}
