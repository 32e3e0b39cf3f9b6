"""The data of the report's script: curves thinned to what a screen can show, and the latent plane with its images."""

import itertools
import math
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.files.folder_layout import require_bounded
from jaxvae.data.files.numpy_files import check_size, read_head
from jaxvae.data.spec import DTYPE
from jaxvae.runtime.files import open_regular
from jaxvae.viz.report import captions, html
from jaxvae.viz.report.image_embedding import Picture, encode_image

__all__ = ["MAX_NUMBERS", "MAX_SPRITE", "MAX_UNPACKED", "curve_data", "plane_data", "thin_curve"]

_MAX_POINTS = 480  # of one curve
MAX_NUMBERS = 60_000  # of all curves together
MAX_UNPACKED = 2**26  # bytes of the plane's file
MAX_SPRITE = 1_000_000  # characters of the plane's images in the page
# forms of the sprite, the second if the first is too large: its kind, options, and the pixels that divide a cell's
# sides, so that no image bleeds into another in a WebP
_FORMS: list[tuple[str, dict[str, Any], int]]
_FORMS = [("PNG", {"optimize": True}, 1), ("WEBP", {"quality": 80, "method": 4}, 8)]
_Series = dict[int | float, int | float | None]  # value by step; None is a gap


def curve_data(records: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns every recorded quantity with a series for each split, ascending in the step; None without any.

    A value that is not finite is None. A curve of too many points keeps the lowest and highest of each stretch.
    """
    found = _collect_series(records)
    if not found:
        return None
    order = list(captions.CURVES)
    names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
    most = max(40, min(_MAX_POINTS, MAX_NUMBERS // sum(len(splits) for splits in found.values())))
    quantities = []
    for name in names:
        title, unit = captions.CURVES.get(name, (name.replace("_", " "), ""))
        series = []
        for split, values in sorted(found[name].items(), key=lambda item: (item[0] != "train", item[0])):
            steps = sorted(values)
            steps, kept = thin_curve(steps, [values[step] for step in steps], most)
            series.append({"split": split, "step": steps, "value": kept})
        quantities.append({"name": name, "title": title, "unit": unit, "series": series})
    bound = "elbo" if "elbo" in found else "loss"
    shown = [name for name in names if name in (bound, "rate", "distortion")] or names[:1]
    longest = max(len(values) for splits in found.values() for values in splits.values())
    return {"quantities": quantities, "shown": shown, "thinned": longest > most}


def _collect_series(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, _Series]]:
    """Returns {quantity: {split: series}} of the quantities that were finite at least once."""
    found: dict[str, dict[str, _Series]] = {}
    for record in records:
        step, split = record.get("step"), record.get("split")
        if not html.is_finite_number(step) or not isinstance(split, str):
            continue
        for name, value in record.items():
            if name in ("step", "split") or isinstance(value, bool) or not isinstance(value, int | float | None):
                continue
            series = found.setdefault(name, {}).setdefault(split, {})
            exact = isinstance(value, int) and abs(value) < 2**53
            # a value that is not finite, null or as Python spells it, was measured: the curve has a gap there
            series[step] = value if exact else float(f"{value:.6g}") if html.is_finite_number(value) else None
    for splits in found.values():
        for split in [split for split, series in splits.items() if set(series.values()) == {None}]:
            del splits[split]
    return {name: splits for name, splits in found.items() if splits}


def thin_curve(steps: list, values: list, most: int) -> tuple[list, list]:
    """Returns at most about `most` points: of each stretch the lowest, the highest, and one gap."""
    if len(steps) <= most:
        return steps, values
    kept = {0, len(steps) - 1}
    edges = np.linspace(0, len(steps), most // 2 + 1).astype(int)
    for start, stop in itertools.pairwise(edges):
        finite = [i for i in range(start, stop) if values[i] is not None]
        gaps = [i for i in range(start, stop) if values[i] is None]
        kept |= {min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)} if finite else set()
        kept |= set(gaps[:1])
    order = sorted(kept)
    return [steps[i] for i in order], [values[i] for i in order]


def plane_data(path: Path) -> dict[str, Any] | None:
    """Returns the dots of latent_plane.npz with their images; None without the file or without a finite dot.

    UsageError names a file that holds something else.
    """
    if not path.exists():
        return None
    try:
        arrays = _read_arrays(path)
        _check_arrays(arrays)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UsageError(
            f"{path} does not hold the latent plane's dots ({error}); draw it again with jaxvae report, or remove it."
        ) from error
    rows = np.flatnonzero(np.isfinite(arrays["xy"]).all(1))
    while len(rows):
        sprite, columns, stride = _make_sprite(arrays, rows)
        if sprite.characters <= MAX_SPRITE:
            layout = {"sprite": sprite.source, "columns": columns, "stride": list(stride)}
            return _describe_dots(arrays, rows) | layout
        rows = rows[:: math.ceil(sprite.characters / MAX_SPRITE)]
    return None


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an .npz file of at most MAX_UNPACKED bytes; nothing in it is unpickled."""
    arrays, size = {}, 0
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            require_bounded(info, path)
            size += info.file_size
            if size > MAX_UNPACKED:
                raise UsageError(f"more than {MAX_UNPACKED // 2**20} MiB")
            key = info.filename.removesuffix(".npy")
            with archive.open(info) as source:
                shape, fortran, dtype = read_head(source, repr(key))
                if fortran:
                    raise UsageError(f"{key!r} is no plain array")
                check_size(archive, key, source.tell(), shape, dtype, path)
                arrays[key] = np.frombuffer(source.read(), dtype).reshape(shape)
    return arrays


def _check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises UsageError or KeyError unless the arrays are those of the latent plane."""
    needed = {"xy": (2, "f"), "position": (1, "iu"), "image": (4, "u"), "axes": (1, "U"), "total": (0, "iu")}
    for name, (rank, kinds) in needed.items():
        if arrays[name].ndim != rank or arrays[name].dtype.kind not in kinds:
            raise UsageError(f"{name} is {arrays[name].dtype}, shaped {list(arrays[name].shape)}")
    count, image = len(arrays["xy"]), arrays["image"]
    rows = [arrays[name] for name in ("position", "image", "reconstruction", "label") if name in arrays]
    pictures = [arrays[name] for name in ("image", "reconstruction") if name in arrays]
    equal = all(each.shape == image.shape and each.dtype == DTYPE for each in pictures)
    if any(len(each) != count for each in rows) or arrays["xy"].shape != (count, 2) or not equal:
        raise UsageError("their shapes differ")
    for name, kind in {"label": "iu", "names": "U"}.items():
        if name in arrays and arrays[name].dtype.kind not in kind:
            raise UsageError(f"{name} is {arrays[name].dtype}")
    if min(image.shape) < 1 or image.shape[-1] not in (1, 3) or len(arrays["axes"]) != 2:
        raise UsageError(f"image is shaped {list(image.shape)}")


def _make_sprite(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> tuple[Picture, int, tuple[int, int]]:
    """Returns one picture of all images, each before its reconstruction, its columns and its (width, height) steps."""
    from PIL import Image

    pairs = [arrays[name][rows] for name in ("image", "reconstruction") if name in arrays]
    cells = np.stack(pairs, 1).reshape(-1, *arrays["image"].shape[1:])
    for kind, options, block in _FORMS:
        height, width = (-(-side // block) * block for side in cells.shape[1:3])
        columns = max(1, min(len(cells), 4096 // width, math.ceil(math.sqrt(len(cells)))))
        lines = -(-len(cells) // columns)
        padding = [(0, lines * columns - len(cells)), (0, height - cells.shape[1]), (0, width - cells.shape[2]), (0, 0)]
        padded = np.pad(cells, padding, mode="edge").reshape(lines, columns, height, width, -1)
        sheet = padded.transpose(0, 2, 1, 3, 4).reshape(lines * height, columns * width, -1)
        image = Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
        sprite = Picture(encode_image(image, kind, **options), f"image/{kind.lower()}")
        if sprite.characters <= MAX_SPRITE:
            break
    return sprite, columns, (width, height)


def _describe_dots(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, Any]:
    """Returns the dots of these rows as the script reads them, without their images."""
    label, names = arrays.get("label"), arrays.get("names")
    present = [] if label is None else sorted({int(each) for each in label[rows]})
    x, y = ([float(f"{value:.5g}") for value in arrays["xy"][rows, axis]] for axis in (0, 1))
    return {
        "x": x,
        "y": y,
        "position": [int(each) for each in arrays["position"][rows]],
        "label": [None] * len(rows) if label is None else [present.index(int(each)) for each in label[rows]],
        "names": [str(names[i]) if names is not None and 0 <= i < len(names) else str(i) for i in present],
        "axes": [str(each) for each in arrays["axes"]],
        "total": int(arrays["total"]),
        "circles": bool(arrays["circles"]) if "circles" in arrays else False,
        "pairs": "reconstruction" in arrays,
        "cell": [int(side) for side in arrays["image"].shape[2:0:-1]],
    }
