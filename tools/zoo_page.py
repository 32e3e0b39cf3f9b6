"""The page of trained models, docs/zoo.md: a table for each data set and protocol, made from run directories.

python -m tools.zoo_page runs/vae runs/vq ... [--out docs/zoo.md]
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jax import random

from jaxvae._checks import UsageError
from jaxvae.cli import run_action
from jaxvae.cli.arguments import parse_path, require_writable
from jaxvae.cli.open_run import prepare_jax
from jaxvae.config import Config
from jaxvae.config.command_line import read_config
from jaxvae.config.schema import flatten
from jaxvae.config.serialization import differences
from jaxvae.rundir.results import FinishedRun, read_finished_run
from jaxvae.runtime.console import print_safely
from jaxvae.runtime.files import write_atomically
from jaxvae.viz import figures, plots
from jaxvae.viz.report.comparison import escape_markdown, format_table
from tools.pythae_models import pythae_section

__all__ = ["HEAD", "comparison_key", "draw_samples", "main", "page_text", "require_config", "write_page"]

_CONFIGS = Path("configs")  # the page links a run to the config of its name, if there is one
_PICTURES = 10  # in the strip of a run
_OTHER_SETTINGS = (
    "model.condition",
    "model.precision",
    "data.corrupt",
    "optimizer.critic_learning_rate",
    "train.samples",
    "train.init_from",
    "train.patience",
)
HEAD = (
    "model",
    "q(z\\|x)",
    "p(z)",
    "p(x\\|z)",
    "objective",
    "besides",
    "elbo",
    "IW-K",
    "rate",
    "distortion",
    "in use",
    "parameters",
    "time",
)
_INTRODUCTION = """\
# The VAEs by name

Made from run directories by the command below; do not edit. Every model is one file, `configs/NAME.py`, that chooses
the factors of the same bound; there is no class for any of them. Train one with
`python train.py --config configs/NAME.py`.

Numbers are nats, summed over pixels and latents, means over the test images ± their standard error over images;
another seed gives another number. elbo is the bound, -(rate + distortion): larger is better. IW-K is the
importance-weighted bound with K draws of z, which is tighter. A dash stands for what a model does not have. "In use"
are the active units, of all latents, or the perplexity of the codes. The time is that of the training steps, compiling
included, without validations, checkpoints and scoring, on a machine that may have had other work."""


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the page; returns the exit code, as `jaxvae.cli.main` does."""
    parser = argparse.ArgumentParser(prog="python -m tools.zoo_page", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=parse_path, metavar="RUN", help="a run directory, finished")
    parser.add_argument("--out", type=parse_path, default=Path("docs/zoo.md"), help="the page (default docs/zoo.md)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)

    def action() -> None:
        require_writable(options.out, (".md",))
        prepare_jax()
        write_page(options.runs, options.out)

    return run_action(action, debug=options.debug)[0]


def write_page(workdirs: Sequence[Path], out: Path) -> None:
    """Writes the page, and a folder of its name with a strip of samples of each run."""
    found = [read_finished_run(workdir) for workdir in workdirs]
    for name, count in Counter(each.name for each in found).items():
        if count > 1:
            raise UsageError(f"{count} of the runs are named {name}; rename one: a page's files have its runs' names.")
    for each in found:
        require_config(each)
    for each in found:
        draw_samples(each, out.with_suffix("") / f"{each.name}.png")
    write_atomically(out, page_text(found, out).encode())
    print_safely(out)


def require_config(one: FinishedRun) -> None:
    """Raises UsageError if the run was not trained with configs/NAME.py, which the page would link."""
    path = _CONFIGS / f"{one.name}.py"
    if not path.exists():
        return
    now = read_config(str(path), [])
    changes = differences(one.run.config, now)
    if now.train.steps != one.run.config.train.steps:
        changes.append(f"train.steps: {one.run.config.train.steps} -> {now.train.steps}")
    if changes:
        raise UsageError(
            f"{one.run.workdir} was not trained as {path} now says ({'; '.join(changes)}). "
            "Train it anew, or give its directory another name."
        )


def draw_samples(one: FinishedRun, path: Path) -> None:
    """Draws a strip of means of p(x|z), z ~ p(z), of the classes in turn; none if the model needs a vector."""
    if one.run.config.model.condition == "vector":
        return
    classes = None if one.run.parts.condition_size is None else np.arange(_PICTURES) % one.run.parts.condition_size
    _, px = one.run.generate(random.split(random.key(0), _PICTURES), condition=classes)
    plots.save_image(path, plots.mosaic(figures.pictures(px.mean()), _PICTURES), cell=min(one.run.shape[:2]))


def page_text(found: Sequence[FinishedRun], out: Path) -> str:
    """Returns the whole page, in markdown, with links relative to `out`."""
    groups: dict[tuple[str, ...], list[FinishedRun]] = {}
    for each in found:
        groups.setdefault(comparison_key(each), []).append(each)
    blocks = [_INTRODUCTION, _command(found, out)]
    for group in groups.values():
        blocks += _section(group, out)
    return "\n\n".join([*blocks, pythae_section(lambda name: _link(name, out))]) + "\n"


def _command(found: Sequence[FinishedRun], out: Path) -> str:
    """Returns the command that makes the page from runs in `runs/`, indented."""
    words = ["python -m tools.zoo_page", *(f"runs/{one.name}" for one in found), f"--out docs/{out.name}"]
    return textwrap.indent(
        textwrap.fill(" ".join(words), 110, break_on_hyphens=False, break_long_words=False).replace("\n", " \\\n    "),
        "    ",
    )


def comparison_key(one: FinishedRun) -> tuple[str, ...]:
    """Returns what is equal for runs whose numbers can be compared: images, split, binarization, kind of density."""
    return (*(one.protocol.get(name, "") for name in ("data", "split", "binarization")), _density_kind(one))


def _density_kind(one: FinishedRun) -> str:
    """Returns what p(x|z) is a density of."""
    bits = one.run.parts.bits
    if bits is None:
        return f"densities of one likelihood alone, {one.run.config.model.likelihood}"
    return "densities of dequantized values" if bits[1] else "probabilities of the pixels' values"


def _section(group: Sequence[FinishedRun], out: Path) -> Iterator[str]:
    """Yields the heading, protocol, table and pictures of runs whose numbers can be compared."""
    one = group[0]
    yield f"## {escape_markdown(one.run.config.data.name)}: {escape_markdown(_density_kind(one))}"
    yield "\n".join(_protocol_lines(group))
    yield format_table(HEAD, [_row(each, out) for each in group])
    strips = [(_link(each.name, out), _config_summary(each.name), _samples_cell(each, out)) for each in group]
    yield format_table(("model", "in a sentence", "means of p(x\\|z) at z ~ p(z)"), strips)


def _protocol_lines(group: Sequence[FinishedRun]) -> Iterator[str]:
    """Yields a line for each part of the protocol; if runs differ in it, with their names."""
    names = dict.fromkeys(name for one in group for name in one.protocol if name not in ("seed", "units"))
    for name in names:  # a model without a bound has an entry for its rate, the others for their elbo
        yield f"- {escape_markdown(name)}: {_merge_texts(group, partial(_protocol_text, name=name))}"
    things = {
        "bound on": _bound_text,
        "K": _draw_count,
        "networks": _network_text,
        "training": _training_text,
        "measured on": _machine_text,
    }
    yield from (f"- {name}: {_merge_texts(group, text_of)}" for name, text_of in things.items())


def _merge_texts(group: Sequence[FinishedRun], text_of: Callable[[FinishedRun], str]) -> str:
    """Returns the text that all runs share, or each nonempty text with the names of its runs."""
    names: dict[str, list[str]] = {}
    for one in group:
        names.setdefault(text_of(one), []).append(one.name)
    if len(names) == 1:
        return next(iter(names))
    return "; ".join(f"{text} ({', '.join(having)})" for text, having in names.items() if text)


def _protocol_text(one: FinishedRun, name: str) -> str:
    """Returns the run's entry of this name in its protocol."""
    return escape_markdown(one.protocol.get(name, ""))


def _bound_text(one: FinishedRun) -> str:
    """Returns what the elbo and IW-K bound from below."""
    if "elbo" not in one.test:
        return "nothing"
    condition = one.run.config.model.condition
    return "log p(x)" if condition == "none" else f"log p(x {chr(92)}| {condition}), to be compared with its like"


def _draw_count(one: FinishedRun) -> str:
    return str(one.test["log_likelihood"].get("samples", "?")) if "log_likelihood" in one.test else "none"


def _network_text(one: FinishedRun) -> str:
    model = one.run.config.model
    return f"{format_code(model.encoder)}, {model.latent_dim} latents, {format_code(model.decoder)}"


def _training_text(one: FinishedRun) -> str:
    """Returns the steps, batch size, optimizer and seed."""
    steps, chosen = one.run.config.train.steps, one.run.config.optimizer
    if not steps:
        return "none"
    rate = f"{format_code(chosen.name)} with {chosen.learning_rate:g}, {format_code(chosen.schedule)}"
    seed = f"seed {one.run.config.train.seed}"
    return f"{steps:,} steps of {one.run.config.data.batch_size} images, {rate}, {seed}"


def _machine_text(one: FinishedRun) -> str:
    """Returns the devices, threads and versions that the run was trained with."""
    known: dict[str, Any] = {"processor": "", "versions": {}} | one.environment
    devices = known.get("devices")
    listed = devices if isinstance(devices, list) else []
    kinds = Counter(re.sub(r" \d+$", "", str(device)) for device in listed)  # 'cpu 0' is the first of its kind
    count = ", ".join(f"{number} {kind}" for kind, number in kinds.items()) or "?"
    jax = known["versions"].get("jax", "?") if isinstance(known["versions"], dict) else "?"
    texts = (
        *(count, known["processor"], f"{known.get('threads', '?')} threads", known.get("machine", "?")),
        *(f"Python {known.get('python', '?')}", f"jax {jax}", f"engine {known.get('engine', '?')}"),
    )
    return ", ".join(escape_markdown(text) for text in texts if text)


def _row(one: FinishedRun, out: Path) -> tuple[str, ...]:
    """Returns the cells of one run."""
    model = one.run.config.model
    choices = [format_code(text) for text in (model.posterior, model.prior, model.likelihood, one.run.config.objective)]
    numbers = [_number_text(one.test.get(name)) for name in ("elbo", "log_likelihood", "rate", "distortion")]
    last = _units_in_use(one), f"{one.parameters:,}", _duration(one.seconds) if one.run.step else "-"
    return _link(one.name, out), *choices, _other_settings(one), *numbers, *last


def _other_settings(one: FinishedRun) -> str:
    """Returns other settings that differ from the default, and the number of skipped steps, if any."""
    usual = flatten(Config())
    chosen = {name: value for name, (value, _) in flatten(one.run.config).items() if name in _OTHER_SETTINGS}
    texts = [format_code(f"{name}={value!r}") for name, value in chosen.items() if value != usual[name][0]]
    return ", ".join(texts + [f"{one.skipped:,} steps skipped"] * bool(one.skipped)) or "-"


def _number_text(number: dict[str, Any] | None) -> str:
    """Returns a value ± its standard error, in nats; a dash for None."""
    if number is None:
        return "-"
    error = number.get("stderr")
    return f"{number['value']:.2f}" + (f" ± {error:.2f}" if error is not None else "")


def _units_in_use(one: FinishedRun) -> str:
    """Returns the active units, or the perplexity of the codes."""
    if "code_perplexity" in one.test:
        return f"{one.test['code_perplexity']['value']:.1f} codes"
    units = one.test.get("active_units")
    return "-" if units is None else f"{units['value']:g} of {units.get('of', '?')}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _samples_cell(one: FinishedRun, out: Path) -> str:
    """Returns the markdown of the strip of samples; a dash if there is none."""
    shown = one.run.config.model.condition != "vector"
    return f"![samples of {one.name}]({out.stem}/{one.name}.png)" if shown else "-"


def _link(name: str, out: Path) -> str:
    """Returns the name, linked to its config if there is one."""
    path = _CONFIGS / f"{name}.py"
    return f"[{name}]({Path(os.path.relpath(path, out.parent)).as_posix()})" if path.exists() else name


def _config_summary(name: str) -> str:
    """Returns the first line of the config's docstring; the file is parsed, not run."""
    path = _CONFIGS / f"{name}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) if path.exists() else None
    return escape_markdown((text or "-").splitlines()[0])


def format_code(text: str) -> str:
    """Returns a config string as code in a table cell."""
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"


if __name__ == "__main__":
    sys.exit(main())
