"""Read a data set into the cache and say what is in it."""

import argparse

from jaxvae.runtime.console import print_safely

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="'digits', a TFDS name, folder:PATH (images, or a zip), npz:PATH or npy:PATH")
    parser.add_argument("--data_dir", help="the folder in which TFDS prepared it, or in which a relative PATH starts")
    parser.add_argument("--manual_dir", help="files to prepare a stock set from, where it shall not be downloaded")
    parser.add_argument("--size", type=int, help="of a folder's images: their central squares, resized")
    parser.add_argument("--channels", type=int, help="of a folder's images: 1 (grey) or 3 (colour)")


def run(arguments: argparse.Namespace) -> None:
    from jaxvae.config import Data
    from jaxvae.data.sources import open_data

    section = Data(name=arguments.name, data_dir=arguments.data_dir, validation=0.0, manual_dir=arguments.manual_dir)
    section.size, section.channels = arguments.size, arguments.channels
    data = open_data(section, say=print_safely)
    shape = " x ".join(map(str, data.shape))
    kind = f"{data.spec.kind}s"
    print_safely(f"{data.name} {data.version}: {kind} of {shape}, fingerprint {data.fingerprint[:12]}")
    for name, split in data.splits.items():
        label, source = split.label, "" if name == "train" else f"; {data.source(name)}"
        labels = "no labels" if label is None else f"labels {label.min()} to {label.max()}"
        labels = f"vectors of {label.shape[1]} numbers" if label is not None and label.ndim == 2 else labels
        print_safely(f"  {name}: {len(split):,} {kind}, {labels}{source}")
    if data.class_names:
        print_safely(f"  classes: {', '.join(data.class_names)}")
