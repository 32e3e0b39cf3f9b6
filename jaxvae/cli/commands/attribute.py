"""Add an attribute to images: a direction of the latent space, and how well it works."""

import argparse
from typing import Any

import numpy as np

from jaxvae.cli.arguments import add_columns, add_picture
from jaxvae.cli.open_run import open_subject, picture_path, save_arrays

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
    subject, path = open_subject(arguments), picture_path(arguments)
    from jaxvae.viz.figures.attributes import draw_attribute

    names = ("method", "strengths", "keep", "images", "n", "examples")
    options = {name: getattr(arguments, name) for name in names}
    result = draw_attribute(path, subject, arguments.attribute, own=arguments.columns, **options)
    if subject.run.config.model.condition == "label" and str(result["attribute"]).startswith("label="):
        print("This model is given the label besides z: z need not tell it. Other labels: `jaxvae sample`.")
    print("\n".join(describe(result)))
    save_arrays(path, result)


def describe(result: dict[str, Any]) -> list[str]:
    """Returns lines that say how often the attribute then appears, and what else changes."""
    name, names = str(result["attribute"]), [str(each) for each in result["judged_names"]]
    right, always = (100 * result[key][names.index(name)] for key in ("judge_accuracy", "judge_always"))
    probe = 100 * result["readable"]
    lines = [
        f"{name}: {result['groups']}",
        f"  a plane tells it from the code in {probe[0]:.1f}% of held-out images (one answer for all: {probe[1]:.1f}%)",
        f"  the judge tells it from the image in {right:.1f}% (one answer for all: {always:.1f}%)",
        f"  of {result['judged']} held-out images {100 * result['had']:.0f}% have it; of what is decoded:",
        f"  {'strength':>10}{'judged':>18}{'measured':>10}{'class changed':>15}",
    ]
    for k, strength in enumerate(result["strengths"]):
        low, high = 100 * result["appears_band"][:, k]
        measured = f"{100 * result['measured_appears'][k]:.0f}%" if "measured_appears" in result else ""
        share = f"{100 * result['appears'][k]:.0f}% ({low:.0f} to {high:.0f})"
        lines.append(f"  {strength:>+10.3g}{share:>18}{measured:>10}{100 * result['class_changed'][k]:>14.0f}%")
    lines.append(f"  at strength {result['judged_at']:+.3g}, against 0:")
    for key, unit, factor in (("measured", "deviations", 1.0), ("judged", "points", 100.0)):
        change, error = factor * np.asarray(result[f"{key}_shift"])
        order = sorted(range(len(change)), key=lambda i: -abs(change[i]))[:8]
        told = [f"{result[f'{key}_names'][i]} {change[i]:+.2g} ± {error[i]:.1g}" for i in order]
        if told:
            lines.append(f"    {key}, {unit}: {', '.join(told)}")
    change, error = result["judged_shift"][:, names.index(name)]
    if change <= 2 * error:
        lines.append(
            f"  This direction does NOT add {name}: what is decoded has it no more often. Perhaps the codes do not "
            "tell it (see the plane above); try --method probe, another attribute, or more latent dimensions."
        )
    return lines
