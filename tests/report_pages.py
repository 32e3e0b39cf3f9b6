"""A run directory made by hand, and its report's page as a parser sees it."""

import json
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from jaxvae.viz import report

CONFIG = {"data": {"name": "digits", "data_dir": None}, "model": {"latent_dim": 2}, "objective": "elbo(beta=1.0)"}
ENVIRONMENT = {"version": 1, "command": "python train.py --config configs/digits.py", "versions": {"jax": "0.10.2"}}
TEST = {
    "examples": 360,
    "elbo": {"value": -21.1034, "stderr": 0.2134},
    "log_likelihood": {"value": -19.24, "stderr": 0.2, "samples": 100},
    "active_units": {"value": 2},
    "kl_per_dimension": {"value": [3.125, 2.875]},
}
RESULTS = {"version": 1, "protocol": {"weights": "EMA 0.999"}, "step": 5000, "test": TEST, "parameters": 123456}
VOID = {"meta", "img", "wbr"}


class Page(HTMLParser):
    """Reads a page, checks that its tags nest, and keeps tags with attributes and the text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.scripts, self.styles = [], [], "", [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = {"script": self.scripts, "style": self.styles}.get(self.open[-1] if self.open else "")
        if inside is None:
            self.text += data
        else:
            inside.append(data)

    def every(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def write(folder, name, content):
    (folder / f"{name}.json").write_text(json.dumps(content))


def add_figures(folder, *names):
    for name in names:
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(folder / "figures" / f"{name}.png")


def add_dots(folder, count=3, side=2, channels=1, **other):
    """The latent plane's dots, as `figures.latent_plane` writes them."""
    rng = np.random.default_rng(0)
    arrays = {
        **{"xy": rng.normal(size=(count, 2)).astype(np.float32), "axes": np.array(["z1", "z2"])},
        **{"circles": np.array(True), "position": np.arange(count, dtype=np.int32), "total": np.array(count)},
        **{kind: rng.integers(0, 256, (count, side, side, channels), np.uint8) for kind in ("image", "reconstruction")},
        "label": np.arange(count, dtype=np.int32) % 3,
        "names": np.array(["zero", "one", "</script><b>"]),
    }
    arrays = {name: array for name, array in (arrays | other).items() if array is not None}
    np.savez_compressed(folder / "figures" / "latent_plane.npz", **arrays)
    return arrays


def read(folder):
    return Page(report.write_report(folder).read_text(encoding="utf-8"))
