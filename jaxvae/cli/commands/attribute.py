"""Add an attribute to images: a direction of the latent space, and how well it works."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from jaxvae.cli.arguments import add_columns, add_picture
from jaxvae.cli.open_run import open_subject, write_picture

if TYPE_CHECKING:  # imported in the function: it imports jax
    from jaxvae.viz.figures.attributes import AttributeData

__all__ = ["add_arguments", "describe", "run"]

_ATTRIBUTES = (
    "slant, thickness, loops, brightness, contrast; of colour images warmth, colourfulness, brightness, contrast; "
    "label=3; or a column of --columns (default: the first of these that there is)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
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


def run(arguments: argparse.Namespace) -> None:
    subject = open_subject(arguments)
    from jaxvae.viz.figures.attributes import compute_attribute, plot_attribute

    names = ("method", "strengths", "keep", "images", "n", "examples")
    options = {name: getattr(arguments, name) for name in names}
    result = compute_attribute(subject, arguments.attribute, own=arguments.columns, **options)
    if subject.run.config.model.condition == "label" and result.attribute.startswith("label="):
        print("This model is given the label besides z: z need not tell it. Other labels: `jaxvae sample`.")
    print("\n".join(describe(result)))
    write_picture(arguments, plot_attribute, result)


def describe(result: AttributeData) -> list[str]:
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
