"""The pictures of docs/gallery.md, reduced from the files that its commands wrote.

python -m tools.gallery_page [--runs runs]
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from PIL import Image

__all__ = ["PICTURES", "main", "reduce_picture"]

_FOLDER = Path(__file__).parents[1] / "docs" / "gallery"
_MAX_WIDTH, _COLOURS = 1100, 128
_COLOURFUL = {"photos", "photos_interpolate"}  # pictures that keep all their colours
PICTURES = {  # name on the page -> the file that the command under it wrote
    "plane": "mnist_2d/figures/plane.gif",
    "training": "mnist_2d/figures/training.gif",
    "latent_plane": "mnist_2d/figures/latent_plane.png",
    "latent_map": "mnist/figures/latent_map.png",
    "interpolate": "mnist/explored/interpolate.png",
    "traverse": "mnist/explored/traverse.png",
    "together": "mnist/explored/together.png",
    "thickness": "mnist/explored/thickness.png",
    "seven": "mnist/explored/seven.png",
    "arithmetic": "mnist/explored/arithmetic.png",
    "compare": "compared/figure.png",
    "neighbours": "mnist/figures/neighbours.png",
    "sensitivity": "mnist/figures/sensitivity.png",
    "inpainting": "mnist/figures/inpainting.png",
    "compression": "mnist/figures/compression.png",
    "temperatures": "mnist/figures/temperatures.png",
    "kl_per_dimension": "mnist/figures/kl_per_dimension.png",
    "anomaly": "without_4/figures/anomaly.png",
    "conditional": "conditional/figures/conditional.png",
    "photos": "photos/figures/reconstructions.png",
    "photos_interpolate": "photos/explored/interpolate.png",
}


def reduce_picture(source: Path, place: Path) -> None:
    """Copies a GIF; saves a picture in few colours and no wider than the page."""
    if source.suffix == ".gif":
        shutil.copy(source, place)
        return
    picture = Image.open(source).convert("RGB")
    if picture.width > _MAX_WIDTH:
        size = (_MAX_WIDTH, round(picture.height * _MAX_WIDTH / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if place.stem not in _COLOURFUL:
        picture = picture.quantize(_COLOURS, dither=Image.Dither.NONE)
    picture.save(place, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of the page's runs")
    runs = parser.parse_args().runs
    _FOLDER.mkdir(exist_ok=True)
    for name, where in PICTURES.items():
        source = runs / where
        if not source.exists():
            print(f"{name}: there is no {source}; run its command in docs/gallery.md first.")
            continue
        reduce_picture(source, _FOLDER / f"{name}{source.suffix}")
        print(f"{name}: {(_FOLDER / f'{name}{source.suffix}').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
