"""Arrays of a user's program: uint8 images or sequences, with labels or vectors, checked before they are used."""

import hashlib
from collections.abc import Mapping

import numpy as np

from jaxvae._checks import UsageError
from jaxvae.data.spec import DTYPE, TOP, StoredSet, StoredSplit

__all__ = ["add_channels", "check_agreement", "check_images", "check_labels", "fingerprint", "load_arrays"]

_CHUNK = 4096
_HINTS = {  # by the kind of a dtype
    "f": f" Values in [0, 1] become bytes by ({TOP} * x).round().astype('{DTYPE}').",
    "b": f" Truth values become bytes by {TOP} * x.astype('{DTYPE}').",
    **dict.fromkeys("iu", f" Values 0 to {TOP} become bytes by x.astype('{DTYPE}')."),
}


def load_arrays(arrays: object) -> StoredSet:
    """Returns the data set of arrays: images [N, H, W, C] or [N, H, W], or sequences [N, L], uint8.

    `arrays` is one of them, a pair (images, labels), or {'train': ..., 'test': ..., 'validation': ...}; labels are
    whole numbers [N] or float vectors [N, C].
    """
    if arrays is None:
        raise UsageError("data.name='arrays': expected the arrays themselves. Try jaxvae.train(config, arrays=...).")
    given = arrays if isinstance(arrays, Mapping) else {"train": arrays}
    if "train" not in given or not set(given) <= {"train", "validation", "test"}:
        raise UsageError(
            f"arrays has the entries {sorted(map(str, given))}; expected 'train', and 'validation' and 'test' if you "
            "have them."
        )
    stored = {split: _stored_split(value, f"arrays[{split!r}]") for split, value in given.items()}
    check_agreement(stored, "arrays")
    return StoredSet("arrays", "1", fingerprint(stored), stored)


def _stored_split(value: object, name: str) -> StoredSplit:
    """Returns the images [N, H, W, C] or [N, L, 1] and labels of what a user passed: images or a pair."""
    if isinstance(value, tuple) and len(value) != 2:
        raise UsageError(f"{name}: a tuple of {len(value)}; expected images alone, or the pair (images, labels).")
    given, labels = value if isinstance(value, tuple) else (value, None)
    images = _as_array(given, f"{name}: the images")
    check_images(images.dtype, images.shape, name)
    return StoredSplit(add_channels(images), None if labels is None else check_labels(labels, len(images), name))


def _as_array(value: object, name: str) -> np.ndarray:
    """Returns np.asarray(value); UsageError if it is not an array, such as a list of images of several sizes."""
    try:
        return np.asarray(value)
    except Exception as error:  # of rows of several lengths, or of what an object's own conversion raises
        raise UsageError(
            f"{name} are no array ({error}); expected an array, or what numpy.asarray makes one: "
            "rows and images of one size."
        ) from error


def check_images(dtype: np.dtype, shape: tuple[int, ...], name: str) -> None:
    """Raises UsageError unless arrays of this dtype and shape are images or sequences."""
    if dtype != DTYPE or len(shape) not in (2, 3, 4) or 0 in shape:
        hint = _HINTS.get(dtype.kind, "") if dtype != DTYPE else ""
        raise UsageError(
            f"{name}: expected {DTYPE} images [N, H, W, C] or [N, H, W], or sequences [N, L], none of them empty, "
            f"got {dtype} {list(shape)}.{hint}"
        )


def add_channels(images: np.ndarray) -> np.ndarray:
    """Returns [N, H, W] as [N, H, W, 1] and [N, L] as [N, L, 1], without a copy; [N, H, W, C] stays."""
    return images if images.ndim == 4 else images[..., None]


def check_labels(labels: object, count: int, name: str) -> np.ndarray:
    """Returns int32 [N] of whole numbers [N] or [N, 1], float32 [N, C] of floats [N, C]; else UsageError."""
    labels = _as_array(labels, f"{name}: the labels")
    if labels.shape[:1] != (count,):
        raise UsageError(
            f"{name}: {count} images but labels shaped {list(labels.shape)}; expected one label per image."
        )
    if labels.dtype.kind in "iub" and labels.shape in ((count,), (count, 1)):
        least, most = int(labels.min()), int(labels.max())
        if least < 0 or most >= 2**31:
            raise UsageError(f"{name}: labels run from {least} to {most}; expected classes counted from 0.")
        return labels.reshape(count).astype(np.int32)
    if labels.dtype.kind == "f" and labels.ndim == 2:
        with np.errstate(over="ignore"):  # infinite then, and named below
            vectors = labels.astype(np.float32)
        rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if 0 in vectors.shape or len(rows):
            found = f"NaN or infinity in {len(rows)} of them, first in row {rows[0]}" if len(rows) else "no entries"
            raise UsageError(f"{name}: label vectors {list(vectors.shape)} with {found}; expected finite numbers.")
        return vectors
    raise UsageError(
        f"{name}: labels are {labels.dtype} {list(labels.shape)}; expected whole numbers [N], which name classes "
        "(labels.astype('int32')), or float vectors [N, C] (labels.astype('float32'); of numbers [N], labels[:, None])."
    )


def check_agreement(stored: Mapping[str, StoredSplit], name: str) -> None:
    """Raises UsageError if the splits' examples differ in shape, or their labels in kind."""
    images = {split: each.image.shape[1:] for split, each in stored.items()}
    labels = {split: each.label.shape[1:] for split, each in stored.items() if each.label is not None}
    for kind, shapes in (("images", images), ("labels", labels)):
        if len(set(shapes.values())) > 1:
            raise UsageError(f"{name}: the splits' {kind} differ in shape, {shapes}; bring them to one.")


def fingerprint(stored: Mapping[str, StoredSplit]) -> str:
    """Returns the sha256 of the images' and labels' bytes, read in pieces."""
    digest = hashlib.sha256()
    for split, each in sorted(stored.items()):
        digest.update(f"{split} {each.image.shape}".encode())
        for array in (each.image, each.label):
            for first in range(0, 0 if array is None else len(array), _CHUNK):
                digest.update(np.ascontiguousarray(array[first : first + _CHUNK]))  # type: ignore[index]
    return digest.hexdigest()
