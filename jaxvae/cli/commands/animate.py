"""A run as moving pictures."""

from __future__ import annotations

from pathlib import Path

from jaxvae._checks import UsageError
from jaxvae.cli.commands.open_run import EXPLORED, opened, publish
from jaxvae.viz import plots
from jaxvae.viz.figures import animation


def animate(
    run: Path,
    *,
    format: str,
    seconds: float,
    seed: int,
    split: str | None,
    out: Path | None,
    data_dir: str | None,
    trust: bool,
) -> None:
    """Writes the films of a run: its training, its plane unfolding, and a walk through its latent space.

    Each with its first frame as .png and its arrays as .npz, into `out`, a folder, or explored/. A film that the run
    keeps too little for is left out, in words.
    """
    if not 1 <= seconds <= 60:
        raise UsageError(f"--seconds {seconds:g}: expected 1 to 60, how long each film lasts.")
    if format == "mp4":
        plots.require_mp4()
    subject, folder = opened(run, seed=seed, split=split, data_dir=data_dir, trust=trust), out or run / EXPLORED
    folder.mkdir(parents=True, exist_ok=True)
    films = {
        "training": lambda **how: animation.draw_training(workdir=run, **how),
        "plane": lambda **how: animation.draw_unfolding(workdir=run, circles=animation.draws(subject), **how),
        "walk": lambda **how: animation.draw_walk(subject=subject, **how),
    }
    for name, draw in films.items():
        path = folder / f"{name}.{format}"
        try:
            arrays = draw(path=path, seconds=seconds, still=path.with_suffix(".png"))
        except ValueError as reason:
            print(f"no {path.name}: {reason}")
            continue
        if arrays:
            publish(path, arrays)
        else:
            print(f"no {path.name}: fewer than two moments of its training were kept in {run}.")
