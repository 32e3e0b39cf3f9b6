"""A - b + c of the codes of images, or of the mean codes of attributes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from jaxvae.cli.arguments import add_columns, add_picture
from jaxvae.cli.open_run import open_subject, write_picture

if TYPE_CHECKING:  # imported in the function: it imports jax
    from jaxvae.viz.figures.arithmetic import ArithmeticData

__all__ = ["add_arguments", "describe", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser, "arithmetic")
    text = "an image's number, or attributes: label=3,not:slant (default: of the data)"
    for name in ("--a", "--b", "--c"):
        parser.add_argument(name, help=text)
    add_columns(parser)
    text = "mean codes are of so many training images at most (default 10000)"
    parser.add_argument("--examples", type=int, default=10_000, help=text)


def run(arguments: argparse.Namespace) -> None:
    subject = open_subject(arguments)
    from jaxvae.viz.figures.arithmetic import compute_arithmetic, plot_arithmetic

    terms = arguments.a, arguments.b, arguments.c
    result = compute_arithmetic(subject, *terms, own=arguments.columns, examples=arguments.examples)
    print("\n".join(describe(result)))
    write_picture(arguments, plot_arithmetic, result)


def describe(result: ArithmeticData) -> list[str]:
    """Returns lines with the measured attributes and the likeliest class of a, b, c and the result."""
    measured, names = result.measured, [str(each) for each in result.measured_names]
    labels = [i for i, name in enumerate(result.judged_names) if name.startswith("label=")]
    lines = [f"  {'':>24}" + "".join(f"{name:>15}" for name in names) + ("  likeliest class" if labels else "")]
    for k, name in enumerate(result.names):
        words = str(name).replace("\n", "")
        said = ""
        if labels:
            best = max(labels, key=lambda i: result.judged[k, i])
            said = f"  {result.judged_names[best].removeprefix('label=')} ({100 * result.judged[k, best]:.0f}%)"
        lines.append(f"{' -+='[k]} {words:>24}" + "".join(f"{value:>15.3g}" for value in measured[:, k]) + said)
    if labels:
        a, b = (
            {part for part in str(name).replace("\n", "").split(",") if "label=" in part} for name in result.names[:2]
        )
        c, sum_ = result.judged[2:, labels].argmax(1)
        if a and a == b and sum_ != c:
            lines.append("The sum did NOT keep the class of c: in so few dimensions class and attribute are not apart.")
    return lines
