"""Any config at all is accepted, and then traces, or is refused by this package in words that name a field.

tests/soak/configs.py does the same with thousands, all accepted ones traced, and hundreds trained.
"""

import itertools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import odd_configs
import pytest
from hypothesis import HealthCheck, given, settings

from jaxvae.config import Config, Data, Model, Train
from jaxvae.config.build import build
from jaxvae.runtime.sharding import one_device
from jaxvae.training import setup
from jaxvae.training.ensemble.members import members_of

VERDICTS, TRACED = 200, 2
LEAST = 40  # of either outcome: fewer would say that the strategy has lost its aim


def test_a_config_is_refused_in_words_or_traces(monkeypatch):
    monkeypatch.setitem(jax.config.values, "jax_traceback_filtering", "off")
    accepted, refused = [], []

    @settings(
        max_examples=VERDICTS,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(odd_configs.configs())
    def judge(case):
        built, sentence = odd_configs.verdict(*case)
        (refused if built is None else accepted).append(sentence or built)

    judge()
    assert min(len(accepted), len(refused)) > LEAST
    for config, parts in accepted[:: len(accepted) // TRACED]:
        odd_configs.trace(config, parts)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model.encoder", "mlp(1000000000)", "a layer of 1e[+]09 units is too wide"),
        ("model.encoder", "conv(" + "8, " * 3000 + ")", "conv of 3e[+]03 layers is too deep"),
        ("model.encoder", "conv(" + "8, " * 10_000 + ")", "expected text of at most 10,000 characters, got 30,006"),
        ("model.posterior", "low_rank(4000000000)", "rank=4000000000: expected a whole number from 1 to 1,048,576"),
        ("train.steps", 10**18, "train.steps=10{18}: expected a whole number from 1 to 2,147,483,647"),
        ("data.batch_size", 10**12, "data.batch_size=10{12}: expected a whole number"),
        ("evaluate.samples", 10**9, "evaluate.samples=10{9}: expected a whole number"),
        ("train.seeds", 10**9, "train.seeds=10{9}: expected a whole number from 1 to 1,000"),
        ("train.steps", 10**5000, "train.steps=a number of about 5,000 digits"),
        ("model.latent_dim", 50_000, r"objective='elbo\(beta=1.0\)'|full makes latent_dim.2 / 2 numbers"),
        ("data.name", "a\0b", "expected text of characters that a file can hold"),
        ("train.fsdp", 1, "train.fsdp=1: expected True or False, got int"),
        ("evaluate.splits", (), "evaluate.splits=.*: expected one or more"),
    ],
    ids=itertools.count(),
)
def test_what_would_take_for_ever_or_all_memory_is_refused_at_once(field, value, words):
    config = odd_configs.changed(Config(model=Model(posterior="full")), field, value)
    with pytest.raises(ValueError, match=words):
        [build(member.config, (8, 8, 1)) for member in members_of(config)]


def test_what_is_larger_than_the_memory_is_refused_before_it_is_made(monkeypatch):
    config = Config(data=Data(batch_size=1000), train=Train(samples=100, accumulate=2))
    makeshift = SimpleNamespace(config=config, parts=build(config, (8, 8, 1)), layout=one_device())
    state = {"kernel": jax.ShapeDtypeStruct((10**6, 10**3), jnp.float32)}
    for most, words in (
        (3.9e9, "average and the optimizer's state take 4 GB, of which there are 4. Choose smaller networks"),
        (1.2e7, None),
    ):
        monkeypatch.setattr(setup, "_device_memory", lambda most=most: most)
        with pytest.raises(ValueError, match=words or "decode to 0 GB.*larger train.accumulate than 2"):
            setup.require_memory(makeshift, state if words else {})
    monkeypatch.setattr(setup, "_device_memory", lambda: 4e9)
    setup.require_memory(makeshift, state)
    with pytest.raises(ValueError, match="take 8 GB"):
        setup.require_memory(makeshift, state, members=2)


def test_several_members_of_too_many_values_are_refused():
    config = Config(train=Train(seeds=600, sweep="beta(1, 2)"))
    with pytest.raises(ValueError, match="1,200 members; expected at most 1,000"):
        members_of(config)
