"""The verbs of attributes: directions of the latent space, and the arithmetic of codes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from jaxvae.cli.arguments import add_columns, add_picture
from jaxvae.cli.open_run import open_subject, write_picture

if TYPE_CHECKING:  # imported in the functions: they import jax
    from jaxvae.viz.figures.arithmetic import ArithmeticData
    from jaxvae.viz.figures.attributes import AttributeData

__all__ = ["add_arithmetic_arguments", "add_attribute_arguments"]
__all__ += ["describe_arithmetic", "describe_attribute", "run_arithmetic", "run_attribute"]


_ATTRIBUTES = (
    "slant, thickness, loops, brightness, contrast; of colour images warmth, colourfulness, brightness, contrast; "
    "label=3; or a column of --columns (default: the first of these that there is)"
)


def add_attribute_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser, "attribute")
    parser.add_argument("--attribute", help=_ATTRIBUTES)
    add_columns(parser)
    parser.add_argument("--method", choices=("means", "probe"), default="means", help="how the direction is found")
    parser.add_argument("--strengths", type=float, nargs="+", help="times the direction (default -2 to 2)")
    parser.add_argument("--keep", nargs="+", default=[], metavar="NAME", help="attributes that shall not change")
    parser.add_argument("--images", type=int, nargs="+", metavar="I", help="which to show (default: --n without it)")
    parser.add_argument("--n", type=int, default=8, help="how many images (default 8)")
    text = "the direction is found on so many training images at most (default 10000)"
    parser.add_argument("--examples", type=int, default=10_000, help=text)


def run_attribute(arguments: argparse.Namespace) -> None:
    subject = open_subject(arguments)
    from jaxvae.viz.figures.attributes import compute_attribute, plot_attribute

    names = ("method", "strengths", "keep", "images", "n", "examples")
    options = {name: getattr(arguments, name) for name in names}
    result = compute_attribute(subject, arguments.attribute, own=arguments.columns, **options)
    if subject.run.config.model.condition == "label" and result.attribute.startswith("label="):
        print("This model is given the label besides z: z need not tell it. Other labels: `jaxvae sample`.")
    print("\n".join(describe_attribute(result)))
    write_picture(arguments, plot_attribute, result)


def describe_attribute(result: AttributeData) -> list[str]:
    """Returns lines that say how often the attribute then appears, and what else changes."""
    name, change = result.attribute, result.change
    index, probe = list(change.judged_names).index(name), 100 * result.readable
    right, always = 100 * change.judge_accuracy[index], 100 * change.judge_always[index]
    lines = [
        f"{name}: {result.groups}",
        f"  a plane tells it from the code in {probe[0]:.1f}% of held-out images (one answer for all: {probe[1]:.1f}%)",
        f"  the judge tells it from the image in {right:.1f}% (one answer for all: {always:.1f}%)",
        f"  of {change.judged} held-out images {100 * change.had:.0f}% have it; of what is decoded:",
        f"  {'strength':>10}{'judged':>18}{'measured':>10}{'class changed':>15}",
    ]
    for k, strength in enumerate(result.strengths):
        low, high = 100 * change.appears_band[:, k]
        measured = "" if change.measured_appears is None else f"{100 * change.measured_appears[k]:.0f}%"
        share = f"{100 * change.appears[k]:.0f}% ({low:.0f} to {high:.0f})"
        lines.append(f"  {strength:>+10.3g}{share:>18}{measured:>10}{100 * change.class_changed[k]:>14.0f}%")
    lines.append(f"  at strength {change.judged_at:+.3g}, against 0:")
    lines += _describe_shifts("measured, deviations", change.measured_names, change.measured_shift)
    lines += _describe_shifts("judged, points", change.judged_names, 100 * change.judged_shift)
    shift, error = change.judged_shift[:, index]
    if shift <= 2 * error:
        lines.append(
            f"  This direction does NOT add {name}: what is decoded has it no more often. Perhaps the codes do not "
            "tell it (see the plane above); try --method probe, another attribute, or more latent dimensions."
        )
    return lines


def _describe_shifts(kind: str, names: np.ndarray, shifts: np.ndarray) -> list[str]:
    """Returns a line with the 8 largest shifts [2, L], means and standard errors; none without any."""
    order = sorted(range(len(names)), key=lambda i: -abs(shifts[0, i]))[:8]
    texts = [f"{names[i]} {shifts[0, i]:+.2g} ± {shifts[1, i]:.1g}" for i in order]
    return [f"    {kind}: {', '.join(texts)}"] if texts else []


def add_arithmetic_arguments(parser: argparse.ArgumentParser) -> None:
    add_picture(parser, "arithmetic")
    text = "an image's number, or attributes: label=3,not:slant (default: of the data)"
    for name in ("--a", "--b", "--c"):
        parser.add_argument(name, help=text)
    add_columns(parser)
    text = "mean codes are of so many training images at most (default 10000)"
    parser.add_argument("--examples", type=int, default=10_000, help=text)


def run_arithmetic(arguments: argparse.Namespace) -> None:
    subject = open_subject(arguments)
    from jaxvae.viz.figures.arithmetic import compute_arithmetic, plot_arithmetic

    terms = arguments.a, arguments.b, arguments.c
    result = compute_arithmetic(subject, *terms, own=arguments.columns, examples=arguments.examples)
    print("\n".join(describe_arithmetic(result)))
    write_picture(arguments, plot_arithmetic, result)


def describe_arithmetic(result: ArithmeticData) -> list[str]:
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
        sums = [str(name).replace("\n", "").split(",") for name in result.names[:2]]
        a, b = ({part for part in parts if "label=" in part} for parts in sums)
        c, sum_ = result.judged[2:, labels].argmax(1)
        if a and a == b and sum_ != c:
            lines.append("The sum did NOT keep the class of c: in so few dimensions class and attribute are not apart.")
    return lines
