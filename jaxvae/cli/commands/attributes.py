"""`jaxvae attribute` and `arithmetic`: directions of the latent space that mean something, and whether they do.

Each draws its picture at `where` and returns the arrays that it shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.viz.figures.arithmetic import draw_arithmetic
from jaxvae.viz.figures.attributes import draw_attribute
from jaxvae.viz.figures.subject import Subject


def attribute(
    subject: Subject, where: Path, *, attribute: str | None, columns: Path | None, **how: Any
) -> dict[str, Any]:
    """Adds an attribute to images, and says how often it then appears, and what else changes."""
    shown = draw_attribute(where, subject, attribute, own=columns, **how)
    if subject.run.config.model.condition == "label" and str(shown["attribute"]).startswith("label="):
        print("This model is given the label besides z: z need not tell it. Other labels: `jaxvae sample`.")
    print("\n".join(judged(shown)))
    return shown


def arithmetic(
    subject: Subject, where: Path, *, a: str | None, b: str | None, c: str | None, columns: Path | None, examples: int
) -> dict[str, Any]:
    """Computes a - b + c with codes, decodes it, and says what the result is."""
    shown = draw_arithmetic(where, subject, a, b, c, own=columns, examples=examples)
    print("\n".join(summed(shown)))
    return shown


def judged(shown: dict[str, Any]) -> list[str]:
    """What the judge says of an attribute, in lines."""
    name, names = str(shown["attribute"]), [str(each) for each in shown["judged_names"]]
    right, always = (100 * shown[key][names.index(name)] for key in ("judge_accuracy", "judge_always"))
    probe = 100 * shown["readable"]
    lines = [
        f"{name}: {shown['groups']}",
        f"  a plane tells it from the code in {probe[0]:.1f}% of held-out images (one answer for all: {probe[1]:.1f}%)",
        f"  the judge tells it from the image in {right:.1f}% (one answer for all: {always:.1f}%)",
        f"  of {shown['judged']} held-out images {100 * shown['had']:.0f}% have it; of what is decoded:",
        f"  {'strength':>10}{'judged':>18}{'measured':>10}{'class changed':>15}",
    ]
    for k, strength in enumerate(shown["strengths"]):
        low, high = 100 * shown["appears_band"][:, k]
        measured = f"{100 * shown['measured_appears'][k]:.0f}%" if "measured_appears" in shown else ""
        share = f"{100 * shown['appears'][k]:.0f}% ({low:.0f} to {high:.0f})"
        lines.append(f"  {strength:>+10.3g}{share:>18}{measured:>10}{100 * shown['class_changed'][k]:>14.0f}%")
    lines.append(f"  at strength {shown['judged_at']:+.3g}, against 0:")
    for key, unit, factor in (("measured", "deviations", 1.0), ("judged", "points", 100.0)):
        change, error = factor * np.asarray(shown[f"{key}_shift"])
        order = sorted(range(len(change)), key=lambda i: -abs(change[i]))[:8]
        told = [f"{shown[f'{key}_names'][i]} {change[i]:+.2g} ± {error[i]:.1g}" for i in order]
        if told:
            lines.append(f"    {key}, {unit}: {', '.join(told)}")
    change, error = shown["judged_shift"][:, names.index(name)]
    if change <= 2 * error:
        lines.append(
            f"  This direction does NOT add {name}: what is decoded has it no more often. Perhaps the codes do not "
            "tell it (see the plane above); try --method probe, another attribute, or more latent dimensions."
        )
    return lines


def summed(shown: dict[str, Any]) -> list[str]:
    """What a, b, c and the result are, in lines: measured, and the likeliest class by the judge."""
    measured, names = shown["measured"], [str(each) for each in shown["measured_names"]]
    labels = [i for i, name in enumerate(shown["judged_names"]) if name.startswith("label=")]
    lines = [f"  {'':>24}" + "".join(f"{name:>15}" for name in names) + ("  likeliest class" if labels else "")]
    for k, name in enumerate(shown["names"]):
        words = str(name).replace("\n", "")
        said = ""
        if labels:
            best = max(labels, key=lambda i: shown["judged"][k, i])
            said = f"  {shown['judged_names'][best].removeprefix('label=')} ({100 * shown['judged'][k, best]:.0f}%)"
        lines.append(f"{' -+='[k]} {words:>24}" + "".join(f"{value:>15.3g}" for value in measured[:, k]) + said)
    if labels:
        a, b = (
            {part for part in str(name).replace("\n", "").split(",") if "label=" in part} for name in shown["names"][:2]
        )
        c, result = shown["judged"][2:, labels].argmax(1)
        if a and a == b and result != c:
            lines.append("The sum did NOT keep the class of c: in so few dimensions class and attribute are not apart.")
    return lines
