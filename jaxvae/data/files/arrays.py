"""Arrays as users bring them, checked in words: uint8 images or sequences, and labels or vectors beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from jaxvae._checks import UsageError

Stored = Mapping[str, tuple[np.ndarray, np.ndarray | None]]  # split -> (uint8 [N, *X], labels [N] or [N, C] or None)

_CHUNK = 4096
_HINTS = {
    "f": " Values in [0, 1] become bytes by (255 * x).round().astype('uint8').",
    "b": " Truth values become bytes by 255 * x.astype('uint8').",
    "i": " Values 0 to 255 become bytes by x.astype('uint8').",
    "u": " Values 0 to 255 become bytes by x.astype('uint8').",
}


def checked_images(value: object, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """(uint8 [N, H, W, C] or [N, L, 1], int32 [N] or float32 [N, C] or None) of what a user passed: images or a pair.

    Images are uint8 [N, H, W, C] or [N, H, W], sequences [N, L]; ValueError says what was found instead.
    """
    if isinstance(value, tuple) and len(value) != 2:
        raise UsageError(f"{name}: a tuple of {len(value)}; expected images alone, or the pair (images, labels).")
    images, labels = value if isinstance(value, tuple) else (value, None)
    images = _as_array(images, f"{name}: the images")
    check_kind(images.dtype, images.shape, name)
    return with_channels(images), None if labels is None else checked_labels(labels, len(images), name)


def _as_array(value: object, name: str) -> np.ndarray:
    """np.asarray; ValueError, in words, for what is none, as images of several sizes in a list."""
    try:
        return np.asarray(value)
    except Exception as error:  # of rows of several lengths, or of what an object's own conversion raises
        raise UsageError(
            f"{name} are no array ({error}); expected an array, or what numpy.asarray makes one: "
            "rows and images of one size."
        ) from error


def check_kind(dtype: np.dtype, shape: tuple[int, ...], name: str) -> None:
    """Raises ValueError, in words, unless arrays of this dtype and shape are images or sequences."""
    if dtype != np.uint8 or len(shape) not in (2, 3, 4) or 0 in shape:
        hint = _HINTS.get(dtype.kind, "") if dtype != np.uint8 else ""
        raise UsageError(
            f"{name}: expected uint8 images [N, H, W, C] or [N, H, W], or sequences [N, L], none of them empty, "
            f"got {dtype} {list(shape)}.{hint}"
        )


def with_channels(images: np.ndarray) -> np.ndarray:
    """[N, H, W] -> [N, H, W, 1] and [N, L] -> [N, L, 1], without a copy; [N, H, W, C] stays."""
    return images if images.ndim == 4 else images[..., None]


def checked_labels(labels: object, count: int, name: str) -> np.ndarray:
    """int32 [N] of whole numbers [N] or [N, 1], float32 [N, C] of floats [N, C]; ValueError in words for all else."""
    labels = _as_array(labels, f"{name}: the labels")
    if labels.shape[:1] != (count,):
        raise UsageError(
            f"{name}: {count} images but labels shaped {list(labels.shape)}; expected one label per image."
        )
    if labels.dtype.kind in "iub" and labels.shape in ((count,), (count, 1)):
        return _classes(labels.reshape(count), name)
    if labels.dtype.kind == "f" and labels.ndim == 2:
        return _vectors(labels, name)
    raise UsageError(
        f"{name}: labels are {labels.dtype} {list(labels.shape)}; expected whole numbers [N], which name classes "
        "(labels.astype('int32')), or float vectors [N, C] (labels.astype('float32'); of numbers [N], labels[:, None])."
    )


def _classes(labels: np.ndarray, name: str) -> np.ndarray:
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or most >= 2**31:
        raise UsageError(f"{name}: labels run from {least} to {most}; expected classes counted from 0.")
    return labels.astype(np.int32)


def _vectors(labels: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # infinite then, and named below
        vectors = labels.astype(np.float32)
    rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if 0 in vectors.shape or len(rows):
        found = f"NaN or infinity in {len(rows)} of them, first in row {rows[0]}" if len(rows) else "no entries"
        raise UsageError(f"{name}: label vectors {list(vectors.shape)} with {found}; expected finite numbers.")
    return vectors


def check_agreement(stored: Stored, name: str) -> None:
    """Raises ValueError where the splits' examples differ in shape, or their labels in kind."""
    shapes = {split: image.shape[1:] for split, (image, _) in stored.items()}
    if len(set(shapes.values())) > 1:
        raise UsageError(f"{name}: the splits' images differ in shape, {shapes}; bring them to one.")
    labels = {split: label.shape[1:] for split, (_, label) in stored.items() if label is not None}
    if len(set(labels.values())) > 1:
        raise UsageError(f"{name}: the splits' labels differ in shape, {labels}; bring them to one.")


def fingerprint(stored: Stored) -> str:
    """The sha256 of the images' and labels' bytes, read in pieces."""
    digest = hashlib.sha256()
    for split, (image, label) in sorted(stored.items()):
        digest.update(f"{split} {image.shape}".encode())
        for array in (image, label):
            for first in range(0, 0 if array is None else len(array), _CHUNK):
                digest.update(np.ascontiguousarray(array[first : first + _CHUNK]))  # type: ignore[index]
    return digest.hexdigest()
