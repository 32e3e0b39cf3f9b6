"""Traits: what a part of a model can do and what it needs, declared by the part in one record.

A part declares them as a class attribute, `traits = Traits(...)`, or as a property where they depend on its fields.
config/compatibility.py compares those of all parts. A part that declares none is taken for the simplest of its kind.
"""

import dataclasses
import difflib
import functools
import itertools
from collections.abc import Set
from typing import Any

import flax.linen as nn
import numpy as np

from jaxvae._checks import UsageError, require_choice, require_fraction, require_names, require_type
from jaxvae.terms import CAPABILITIES

__all__ = ["CONTAINED_IN", "SUPPORTS", "Traits", "check_support", "network_traits", "require_traits", "traits_of"]

_NONE: frozenset[str] = frozenset()
_FREED = ("real", "sphere")  # spaces in which z moves continuously with x


def _in_unit(x: np.ndarray) -> np.bool_:
    return ((x >= 0) & (x <= 1)).all()


SUPPORTS = {  # of a likelihood: what they are, whether x is such, what prepare does to x within [0, 1] that is not
    "binary": (
        "the values 0 and 1 only",
        lambda x: np.isin(x, (0.0, 1.0)).all(),
        ": it binarizes them. To model the grey values themselves, train with model.likelihood='continuous_bernoulli' "
        "(a density over [0, 1]) or 'discretized_logistic' (a probability of the 256 levels), and data.prepare='grey'.",
    ),
    "coded": (
        "the 256 values k / 255",
        lambda x: (np.abs(255 * x - np.round(255 * x)) < 1e-3).all() and _in_unit(x),
        ", or round to a level: numpy.round(255 * x) / 255.",
    ),
    "open": (
        "values inside (0, 1), its ends excluded",
        lambda x: ((x > 0) & (x < 1)).all(),
        ": it dequantizes them, so that none is 0 or 1.",
    ),
    "unit": ("values from 0 to 1", _in_unit, "."),
    "real": ("finite real numbers", lambda x: np.isfinite(x).all(), "."),
}
CONTAINED_IN = {  # support -> those that contain it
    "binary": {"binary", "coded", "unit", "real"},
    "coded": {"coded", "unit", "real"},
    "open": {"open", "unit", "real"},
    "unit": {"unit", "real"},
    "real": {"real"},
}


@dataclasses.dataclass(frozen=True)
class Traits:
    """What a part can do and needs; each kind of part reads the fields of its own group.

    Args:
        space: of a posterior, where z is: 'real', 'sphere', 'one-hot', 'codes', or a name of your own.
        offers: of a posterior, what priors and objectives may use: see `jaxvae.terms.CAPABILITIES`.
        relaxed: of a posterior, whether training draws z by q's `relaxed_sample(keys)`.
        renewed: of a posterior, whether each train step calls its `renew(q)`, which writes its variables.
        extra: of a posterior, whether q's `extra()` returns more terms, {name: [1, B]}.
        spaces: of a prior, the spaces that it is a density on.
        needs: of a prior, what the posterior has to offer.
        learned: of a prior, whether it has parameters.
        factorises: of a prior, whether it is a product over the coordinates of z.
        condition: of a prior, 'any', 'required' or 'none'.
        takes: of an encoder or decoder, 'any', 'images' or 'sequences'.
        dropout: of an encoder or decoder, the rate; above 0, training calls it with keys as a third argument.
        remat: of an encoder or decoder, whether it has a field `remat` and recomputes its own blocks.
        support: of a likelihood, the data that it is a density of: a key of `SUPPORTS`.
        mass: of a likelihood, whether it is a probability of coded pixels, and no density.
        fits_scale: of a likelihood, whether training calls it with x [1, B, *X] as a second argument.
        weighs_draws: of a likelihood that fits its scale, whether it takes a third argument for objectives with several
            weighted draws: a function from log p(x|z) [S, B] to the weights of the draws, which sum to 1 over S.
        couples_channels: of a likelihood, whether the channels of a pixel depend on each other given z.
    """

    space: str = "real"
    offers: Set[str] = frozenset({"samples"})
    relaxed: bool = False
    renewed: bool = False
    extra: bool = False

    spaces: Set[str] = frozenset({"real"})
    needs: Set[str] = _NONE
    learned: bool = False
    factorises: bool = False
    condition: str = "any"

    takes: str = "any"
    dropout: float = 0.0
    remat: bool = False

    support: str | None = None
    mass: bool = False
    fits_scale: bool = False
    weighs_draws: bool = False
    couples_channels: bool = False

    def __post_init__(self) -> None:
        for name, known in (("offers", CAPABILITIES), ("needs", CAPABILITIES), ("spaces", None)):
            object.__setattr__(self, name, require_names(f"Traits: {name}", getattr(self, name), known))
        for each in dataclasses.fields(self):
            require_type(f"Traits: {each.name}", getattr(self, each.name), each.type)
        require_choice("Traits: condition", self.condition, ("any", "required", "none"))
        require_choice("Traits: takes", self.takes, ("any", "images", "sequences"))
        require_fraction("Traits: dropout", self.dropout)
        if self.support is not None:
            require_choice("Traits: support", self.support, SUPPORTS)

    @property
    def all_offers(self) -> Set[str]:
        """What a posterior offers, with 'continuous' where its space implies that."""
        return self.offers | ({"continuous"} if self.space in _FREED else _NONE)


def network_traits(takes: str = "any", *, remat: bool = False) -> Any:
    """Returns the property `traits` of an encoder or decoder whose field `dropout` is its rate."""
    return property(lambda self: Traits(takes=takes, dropout=self.dropout, remat=remat))


_FIELDS = tuple(each.name for each in dataclasses.fields(Traits))
_OUTSIDE = {"fits": "fits_scale", "couples": "couples_channels"} | {name: name for name in _FIELDS}
_READ_BEFORE = ("dropout", "remat", "learned")  # fields of a part that only count where its traits repeat them
_SIMPLEST = Traits()


def traits_of(part: Any) -> Traits:
    """Returns the traits that the part declares; those of the simplest part where it declares none."""
    return part.traits if hasattr(type(part), "traits") else _SIMPLEST


def require_traits(where: str, part: Any) -> None:
    """Raises UsageError where a part's traits are no Traits, or it declares one outside of them or misspelt.

    `where` names the part in the error.
    """
    kind: Any = type(part)
    if hasattr(kind, "traits") and not isinstance(part.traits, Traits):
        raise UsageError(f"{where}: {kind.__name__}.traits is a {type(part.traits).__name__}; expected Traits(...).")
    for name, near, is_field in _misplaced(kind):
        trait = "..." if near == "traits" else f"{_OUTSIDE[near]}=..."
        form = f"traits = property(lambda self: Traits({trait}))" if is_field else f"traits = Traits({trait})"
        raise UsageError(
            f"{where}: {kind.__name__}.{name} has no effect; expected a declaration of what the part can do in one "
            f"place. Write `{form}` in the class, with `from jaxvae.model import Traits`."
        )


@functools.cache
def _misplaced(kind: type) -> list[tuple[str, str, bool]]:
    """Returns (name, the trait that is meant, whether it is a field) of a class's attributes that should be traits."""
    fields = {each.name for each in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    found = [(name, name, True) for name in _READ_BEFORE if name in fields and not hasattr(kind, "traits")]
    own = itertools.takewhile(lambda home: home is not nn.Module, kind.__mro__)
    for name, value in (item for home in own for item in vars(home).items()):
        plain = not callable(value) and not isinstance(value, classmethod | staticmethod)
        if plain and name not in {*fields, "traits"} and not name.startswith("_"):
            found += [(name, near, False) for near in difflib.get_close_matches(name, ("traits", *_OUTSIDE), 1, 0.8)]
    return found


def check_support(support: str, x: np.ndarray, name: str) -> None:
    """Raises UsageError where x holds values to which a likelihood of that support gives no density."""
    expected, holds, prepared = SUPPORTS[support]
    x = np.asarray(x)
    if not holds(x):
        fix = f"Pass uint8 images through prepare(key, images) first, as in training{prepared if _in_unit(x) else '.'}"
        raise UsageError(
            f"{name} holds values from {np.min(x):g} to {np.max(x):g}; this model's likelihood is a density over "
            f"{expected}. {'Replace what is not finite.' if support == 'real' else fix}"
        )
