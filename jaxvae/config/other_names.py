"""Names that other libraries and papers use for parts, each with its name here."""

__all__ = ["OTHER_NAMES", "name_here"]

_SQUARED, _ABSOLUTE = "gaussian, whose -log p(x) is the squared error / (2 scale^2)", "laplace"
_NETWORKS = {"cnn": "conv(32, 64)", "convolutional": "conv(32, 64)", "dense": "mlp(400)", "fc": "mlp(400)"}
_NETWORKS |= {"transformer": "attention", "vit": "attention", "cnn1d": "conv1d(32, 64)"}
_OPTAX = ("lion", "rmsprop", "adagrad", "lamb", "adafactor", "nadam", "radam", "lars")
OTHER_NAMES: dict[str, dict[str, str]] = {
    "prepare": {"none": "grey", "normalize": "grey", "dynamic": "binarize"},
    "encoder": _NETWORKS,
    "decoder": _NETWORKS,
    "posterior": {"gaussian": "diagonal", "normal": "diagonal", "gumbel_softmax": "relaxed", "concrete": "relaxed"}
    | {"vqvae": "vq", "deterministic": "point", "dirac": "point", "full_covariance": "full"},
    "prior": {"normal": "standard", "vampprior": "vamp", "uniform": "categorical, codes or sphere", "gmm": "mixture"},
    "likelihood": {"mse": _SQUARED, "l2": _SQUARED, "normal": "gaussian", "mae": _ABSOLUTE, "l1": _ABSOLUTE}
    | {"bce": "bernoulli", "binary_cross_entropy": "bernoulli", "cross_entropy": "categorical"}
    | {"sigma_vae": "gaussian('optimal')"},
    "objective": {"vae": "elbo", "beta_vae": "elbo(beta=4.0)", "bvae": "elbo(beta=4.0)", "kl": "rate"}
    | {"tcvae": "tc", "beta_tcvae": "tc", "btcvae": "tc", "factor_vae": "elbo() + factor()"}
    | {"info_vae": "elbo(beta=0.5) + 100.0 * mmd()", "wae": "reconstruction() + 100.0 * mmd()"}
    | {"dip_vae": "elbo() + dip_ii()", "vae_gan": "elbo() + 20.0 * gan()", "ae": "reconstruction"},
    "schedule": {"cosine_annealing": "cosine", "linear": "warmup(500)"},
}


def name_here(kind: str, name: str) -> str:
    """Returns 'its name here is elbo; ' for a name of other libraries or of optax; '' for any other name."""
    name = name.lower()
    if kind == "optimizer" and name in _OPTAX:
        made = f"lambda *, schedule: optax.{name}(schedule)"
        return f"choose 'adamw', or register optax's: jaxvae.register('optimizer', {name!r}, {made}); "
    other = OTHER_NAMES.get(kind, {}).get(name, "")
    return f"its name here is {other}; " if other else ""
