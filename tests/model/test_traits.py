"""What parts declare is checked when they are built: by a config, and by the VAE's constructor."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from small import make_vae

from jaxvae._checks import UsageError
from jaxvae.config import Config, Model
from jaxvae.config.build import build
from jaxvae.model import Traits
from jaxvae.model.traits import require_traits
from jaxvae.objective import Needs, elbo, iwae, mmd

PART = """
import flax.linen as nn
from jaxvae.distributions import Normal
from jaxvae.model import Traits

class Mine(nn.Module):
    {declared}

    @nn.compact
    def __call__(self, features, condition=None):
        loc = nn.Dense(2)(features)[None]
        return Normal(loc, 0 * loc, event=1)

def mine():
    return Mine()
"""


def made(declared, tmp_path):
    """The posterior of a config whose file declares that in the class."""
    (tmp_path / "f.py").write_text(PART.format(declared=declared))
    return build(Config(model=Model(posterior=f"{tmp_path}/f.py:mine")), (4, 4, 1)).model.posterior


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (
            "offer = frozenset({'samples'})",
            r"Mine.offer has no effect.*traits = Traits\(offers=...\).*jaxvae.model import",
        ),
        ("offers = frozenset({'samples'})", r"Mine.offers has no effect.*traits = Traits\(offers=...\)"),
        ("space = 'real'", r"Mine.space has no effect.*Traits\(space=...\)"),
        ("trait = Traits()", r"Mine.trait has no effect.*traits = Traits\(...\)"),
        ("couples = True", r"Mine.couples has no effect.*Traits\(couples_channels=...\)"),
        ("traits = Traits()\n    needs = frozenset()", r"Mine.needs has no effect"),
        (
            "dropout: float = 0.1",
            r"Mine.dropout has no effect.*property\(lambda self: Traits\(dropout=...\)\)",
        ),
        ("takes = property(lambda self: 'images')", r"Mine.takes has no effect"),
        ("traits = {'offers': 3}", r"Mine.traits is a dict; expected Traits"),
        ("traits = Traits(offer={'samples'})", r"unexpected keyword argument 'offer'.* \(line 7\)"),
        ("traits = Traits(offers={'sample'})", r"offers='sample': expected one of 'samples', 'density'"),
        ("traits = Traits(offers='samples')", r"offers='samples': expected a set of names"),
        ("traits = Traits(needs={'densities'})", r"needs='densities': expected one of"),
        ("traits = Traits(takes='pictures')", r"takes='pictures': expected one of 'any', 'images', 'sequences'"),
        ("traits = Traits(support='grey')", r"support='grey': expected one of 'binary'"),
        ("traits = Traits(condition='maybe')", r"condition='maybe': expected one of 'any', 'required', 'none'"),
        ("traits = Traits(dropout=1.5)", r"dropout=1.5: expected a number in \[0, 1\)"),
        ("traits = Traits(mass='yes')", r"mass='yes': expected True or False"),
    ],
)
def test_a_wrong_declaration_of_a_users_part_is_refused_with_the_right_form(declared, words, tmp_path):
    with pytest.raises(UsageError, match=rf"^model\.posterior='.*{words}"):
        made(declared, tmp_path)


@pytest.mark.parametrize(
    ("declared", "traits"),
    [
        ("pass", Traits()),
        ("width = 3\n    scale_of_learning = 2.0", Traits()),
        ("traits = Traits(offers={'samples', 'density'})", Traits(offers={"samples", "density"})),
        ("rate: float = 0.1\n    traits = property(lambda self: Traits(dropout=self.rate))", Traits(dropout=0.1)),
    ],
)
def test_a_right_declaration_is_taken(declared, traits, tmp_path):
    part = made(declared, tmp_path)
    assert getattr(part, "traits", Traits()) == traits
    require_traits("it", part)


class Loose(nn.Module):
    """A part as they were declared before."""

    offers = frozenset({"samples"})


@pytest.mark.parametrize("name", ["encoder", "posterior", "latent_prior", "decoder", "likelihood"])
def test_a_model_made_without_a_config_checks_its_parts(name):
    with pytest.raises(UsageError, match=f"VAE: {name}: Loose.offers has no effect"):
        dataclasses.replace(make_vae(), **{name: Loose()})


def test_traits_are_no_parameters_and_change_no_path():
    model = make_vae()
    params = jax.eval_shape(
        model.init, jax.random.key(0), jax.random.split(jax.random.key(1), (1, 2)), jnp.zeros((2, 4, 4, 1))
    )
    assert set(params["params"]) == {"encoder", "posterior", "decoder"}
    assert "traits" not in {each.name for each in dataclasses.fields(model.posterior)}


def test_what_objectives_need_is_named_by_who_provides_it_and_adds_up():
    assert (elbo() + mmd()).needs == Needs(posterior={"samples", "continuous"}, engine={"batch"})
    assert iwae("dreg").needs.model == {"gate"}
    for who in ("posterior", "prior", "model", "data", "engine"):
        with pytest.raises(UsageError, match=f"Needs: {who}='gates': expected one of"):
            Needs(**{who: {"gates"}})
