"""What the report's script is given to draw: curves thinned to what a screen can show, and dots with their images."""

import io
import itertools
import math
import zipfile
import zlib

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.files.folder_layout import require_bounded
from jaxvae.data.files.numpy_files import check_size, read_head
from jaxvae.data.spec import DTYPE
from jaxvae.viz.report import captions, html
from jaxvae.viz.report.image_embedding import Picture

_FIRST = ("elbo", "loss", "rate", "distortion")  # shown before a reader chooses; the loss where there is no bound
_POINTS = 480  # of one curve
NUMBERS = 60_000  # of all curves together
UNPACKED = 2**26  # bytes of the dots' file
SPRITE = 1_000_000  # characters of the dots' images in the page
_ARRAYS = {"xy": 2, "position": 1, "image": 4, "axes": 1, "total": 0}  # of the dots' file -> their number of axes


def curves(records):
    """Return every recorded quantity with its series, one a split, ascending in the step; None where there are none.

    What is no number is None there. A curve of more than POINTS is thinned to the lowest and highest of each stretch.
    """
    found = _series(records)
    if not found:
        return None
    order = list(captions.CURVES)
    names = sorted(found, key=lambda name: (order.index(name) if name in order else len(order), name))
    most = max(40, min(_POINTS, NUMBERS // sum(len(splits) for splits in found.values())))
    quantities = [_quantity(name, found[name], most) for name in names]
    bound = "elbo" if "elbo" in found else "loss"
    shown = [name for name in names if name in (bound, "rate", "distortion")] or names[:1]
    longest = max(len(values) for splits in found.values() for values in splits.values())
    return {"quantities": quantities, "shown": shown, "thinned": longest > most}


def _series(records):
    """Return {quantity: {split: {step: value or None}}} of the quantities that were ever a number."""
    found: dict[str, dict[str, dict]] = {}
    for record in records:
        step, split = record.get("step"), record.get("split")
        if _number(step) is None or not isinstance(split, str):
            continue
        for name, value in record.items():
            # what is not finite, null or as Python spells it, was measured, too: the curve has a gap there
            if name not in ("step", "split") and isinstance(value, int | float | None) and not isinstance(value, bool):
                found.setdefault(name, {}).setdefault(split, {})[step] = _number(value)
    known = {
        name: {split: values for split, values in splits.items() if any(each is not None for each in values.values())}
        for name, splits in found.items()
    }
    return {name: splits for name, splits in known.items() if splits}


def _number(value):
    """Return a finite number, rounded to six digits; None for whatever else."""
    if isinstance(value, bool) or not html.finite(value):
        return None
    return value if isinstance(value, int) and abs(value) < 2**53 else float(f"{value:.6g}")


def _quantity(name, splits, most):
    """Return one quantity as the script reads it."""
    title, unit = captions.CURVES.get(name, (name.replace("_", " "), ""))
    series = []
    for split in sorted(splits, key=lambda split: (split != "train", split)):
        steps = sorted(splits[split])
        steps, values = thinned(steps, [splits[split][step] for step in steps], most)
        series.append({"split": split, "step": steps, "value": values})
    return {"name": name, "title": title, "unit": unit, "series": series}


def thinned(steps, values, most):
    """Return at most about `most` of the points: of each stretch the lowest, the highest, and one that is no number."""
    if len(steps) <= most:
        return steps, values
    kept = {0, len(steps) - 1}
    edges = np.linspace(0, len(steps), most // 2 + 1).astype(int)
    for start, stop in itertools.pairwise(edges):
        stretch = range(start, stop)
        known = [i for i in stretch if values[i] is not None]
        kept |= {min(known, key=values.__getitem__), max(known, key=values.__getitem__)} if known else set()
        kept |= set([i for i in stretch if values[i] is None][:1])
    order = sorted(kept)
    return [steps[i] for i in order], [values[i] for i in order]


def dots(path):
    """Return the dots of the latent plane in a file that `figures.keep_dots` wrote; None where there is none.

    ValueError names a file that is another.
    """
    if not path.exists():
        return None
    try:
        arrays = _read(path)
        _check(arrays)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UsageError(
            f"{path} does not hold the latent plane's dots ({error}); draw it again with jaxvae report, or remove it."
        ) from error
    keep = np.isfinite(arrays["xy"]).all(1)
    rows = np.flatnonzero(keep)
    while len(rows):
        sprite, columns, stride = _sprite(arrays, rows)
        if sprite.characters <= SPRITE:
            return _told(arrays, rows, sprite, columns, stride)
        rows = rows[:: math.ceil(sprite.characters / SPRITE)]
    return None


def _read(path):
    """Return the arrays of a .npz file, of at most UNPACKED bytes; nothing in it is unpickled."""
    arrays, size = {}, 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            require_bounded(info, path)
            size += info.file_size
            if size > UNPACKED:
                raise UsageError(f"more than {UNPACKED // 2**20} MiB")
            key = info.filename.removesuffix(".npy")
            with archive.open(info) as source:
                shape, fortran, dtype = read_head(source)
                if dtype.hasobject or fortran:
                    raise UsageError(f"{key!r} is no plain array")
                check_size(archive, key, shape, dtype, path)
                arrays[key] = np.frombuffer(source.read(), dtype).reshape(shape)
    return arrays


def _check(arrays):
    """Raise ValueError unless the arrays are the dots'."""
    for name, rank in _ARRAYS.items():
        if arrays[name].ndim != rank:
            raise UsageError(f"{name} is shaped {list(arrays[name].shape)}")
    count = len(arrays["xy"])
    rows = [arrays[name] for name in ("position", "image", "reconstruction", "label") if name in arrays]
    pictures = [arrays[name] for name in ("image", "reconstruction") if name in arrays]
    alike = all(each.shape == arrays["image"].shape and each.dtype == DTYPE for each in pictures)
    if any(len(each) != count for each in rows) or arrays["xy"].shape != (count, 2) or not alike:
        raise UsageError("their shapes differ")
    kinds = {"xy": "f", "position": "iu", "label": "iu", "axes": "U", "names": "U", "total": "iu"}
    for name, kind in kinds.items():
        if name in arrays and arrays[name].dtype.kind not in kind:
            raise UsageError(f"{name} is {arrays[name].dtype}")
    if min(arrays["image"].shape) < 1 or arrays["image"].shape[-1] not in (1, 3) or len(arrays["axes"]) != 2:
        raise UsageError(f"image is shaped {list(arrays['image'].shape)}")


def _sprite(arrays, rows):
    """Return the images of these rows side by side, each followed by its reconstruction, as (Picture, columns, stride).

    As a PNG; as WebP where that is too large, each image in a cell of whole blocks, so that none bleeds into another.
    """
    from PIL import Image

    kinds = [arrays[name][rows] for name in ("image", "reconstruction") if name in arrays]
    cells = np.stack(kinds, 1).reshape(-1, *arrays["image"].shape[1:])
    for kind, options, block in (("PNG", {"optimize": True}, 1), ("WEBP", {"quality": 80, "method": 4}, 8)):
        height, width = (-(-side // block) * block for side in cells.shape[1:3])
        columns = max(1, min(len(cells), 4096 // width, math.ceil(math.sqrt(len(cells)))))
        lines = -(-len(cells) // columns)
        padding = [(0, lines * columns - len(cells)), (0, height - cells.shape[1]), (0, width - cells.shape[2]), (0, 0)]
        padded = np.pad(cells, padding, mode="edge").reshape(lines, columns, height, width, -1)
        sheet = padded.transpose(0, 2, 1, 3, 4).reshape(lines * height, columns * width, -1)
        stream = io.BytesIO()
        Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet).save(stream, kind, **options)
        sprite = Picture(stream.getvalue(), f"image/{kind.lower()}")
        if sprite.characters <= SPRITE:
            break
    return sprite, columns, (width, height)


def _told(arrays, rows, sprite, columns, stride):
    """Return the dots as the script reads them."""
    label, names = arrays.get("label"), arrays.get("names")
    present = [] if label is None else sorted({int(each) for each in label[rows]})
    known = [str(names[each]) if names is not None and 0 <= each < len(names) else str(each) for each in present]
    xy = [[float(f"{value:.5g}") for value in arrays["xy"][rows, axis]] for axis in (0, 1)]
    return {
        **{"x": xy[0], "y": xy[1], "position": [int(each) for each in arrays["position"][rows]]},
        "label": [None] * len(rows) if label is None else [present.index(int(each)) for each in label[rows]],
        **{"names": known, "axes": [str(each) for each in arrays["axes"]], "total": int(arrays["total"])},
        "circles": bool(arrays["circles"]) if "circles" in arrays else False,
        **{"pairs": "reconstruction" in arrays, "sprite": sprite.source, "columns": columns, "stride": list(stride)},
        "cell": [int(side) for side in arrays["image"].shape[2:0:-1]],
    }
