"""What fails at the end of a training fails in --check; and scores are printed before anything is drawn."""

from unittest import mock

import pytest
from small_configs import small_config

from jaxvae.cli.errors import explain
from jaxvae.training.benchmark import check
from jaxvae.training.train import train_and_evaluate

COINS = """import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jaxvae.model import Traits


@struct.dataclass
class Coins:
    logits: jax.Array
    event: int = struct.field(pytree_node=False)

    def log_prob(self, x):
        each = x * self.logits - jnp.logaddexp(0.0, self.logits)
        return each.sum(tuple(range(-self.event, 0)))

    def mean(self):
        return jax.nn.sigmoid(self.logits)

    def sample(self, keys):
        return bernouli(keys, self.logits)


class Likelihood(nn.Module):
    traits = Traits(support="binary", mass=True)

    def features(self, channels):
        return channels

    def __call__(self, features):
        return Coins(features, event=features.ndim - 2)


def coins():
    return Likelihood()
"""


def quick(**changes):
    fields = {"data__batch_size": 8, "train__steps": 2, "evaluate__samples": 1, "evaluate__figures": "none"}
    return small_config(**fields, **changes)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_part_that_cannot_be_drawn_from_fails_before_training(fixed, tmp_path):
    file = tmp_path / "my_parts.py"
    file.write_text(COINS.replace("bernouli(keys, self.logits)", "self.logits") if fixed else COINS)
    config, lines = quick(model__likelihood=f"{file}:coins"), []
    with mock.patch("jaxvae.training.roofline.time_interleaved", return_value={"step": mock.Mock(seconds=1.0)}):
        if fixed:
            check(config, lines.append)
            assert lines[-1].startswith("everything builds, scores, draws")
            return
        with pytest.raises(NameError) as failed:
            check(config, lines.append)
    text, code = explain(failed.value)
    assert (code, "my_parts.py failed: NameError: name 'bernouli' is not defined (line 21)" in text) == (1, True), text


def test_scores_are_printed_before_a_figure_fails(tmp_path):
    lines = []
    with (
        mock.patch("jaxvae.viz.figures.draw_figures", side_effect=RuntimeError("no such marker")),
        mock.patch("jaxvae.training.diagnosis.diagnose"),
        pytest.raises(RuntimeError, match="no such marker"),
    ):
        train_and_evaluate(quick(), tmp_path / "run", say=lines.append)
    assert any(line.startswith("  elbo ") for line in lines), lines
