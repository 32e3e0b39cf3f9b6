"""The pictures of docs/gallery.md, packed from where its commands wrote them: python docs/gallery.py [--runs runs]"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent / "gallery"
WIDEST, COLOURS = 1100, 128
COLOURFUL = {"photos", "photos_interpolate"}  # too many to be reduced
PICTURES = {  # name on the page -> where the command under it wrote
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


def pack(source: Path, place: Path) -> None:
    """Copies a film as it is, and a picture in few colours and no wider than the page."""
    if source.suffix == ".gif":
        shutil.copy(source, place)
        return
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDEST:
        size = (WIDEST, round(picture.height * WIDEST / picture.width))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    if place.stem not in COLOURFUL:
        picture = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    picture.save(place, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs of the page lie")
    runs = parser.parse_args().runs
    HERE.mkdir(exist_ok=True)
    for name, where in PICTURES.items():
        source = runs / where
        if not source.exists():
            print(f"{name}: there is no {source}; run its command in docs/gallery.md first.")
            continue
        pack(source, HERE / f"{name}{source.suffix}")
        print(f"{name}: {(HERE / f'{name}{source.suffix}').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
