"""The models of pythae, a library with a class for each: the choices that make each of them here, or why none do."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["PYTHAE", "pythae_section"]

_Choices = dict[str, str]  # field of a config -> its value; the others as in Config()

# Each row: a model of pythae 0.1.2 -> (its choices here, the configs that make them), or why there are none.
PYTHAE: dict[str, tuple[_Choices, tuple[str, ...]] | str] = {
    "AE": ({"model.posterior": "point", "objective": "reconstruction"}, ("ae",)),
    "VAE": ({}, ("vae", "digits", "mnist")),
    "BetaVAE": ({"objective": "elbo(beta=2.0)"}, ("beta_vae",)),
    "DisentangledBetaVAE": ({"objective": "capacity(linear(0, 25, steps=5000))"}, ("capacity_vae",)),
    "FactorVAE": ({"objective": "elbo() + factor()"}, ("factor_vae",)),
    "BetaTCVAE": ({"objective": "tc(beta=6.0)"}, ("tc_vae",)),
    "VAE_IAF": ({"model.posterior": "iaf(steps=4)"}, ("iaf",)),
    "VAE_LinNF": "a planar or radial step bends z along one direction or around one point, so that many are needed, "
    "and is no part here; the flow posteriors `coupling` and `iaf` take its place",
    "IWAE": ({"objective": "iwae()", "train.samples": "8"}, ("iwae", "dreg")),
    "MIWAE": ({"objective": "miwae(groups=2)", "train.samples": "8"}, ("miwae",)),
    "CIWAE": ({"objective": "ciwae(share=0.5)", "train.samples": "8"}, ()),
    "PIWAE": ({"objective": "piwae(groups=2)", "train.samples": "8"}, ()),
    "VAMP": ({"model.prior": "vamp(components=500)"}, ("vamp",)),
    "SVAE": ({"model.posterior": "vmf", "model.prior": "sphere"}, ("hyperspherical",)),
    "VQVAE": (
        {"model.posterior": "vq(codes=64)", "model.prior": "codes", "objective": "reconstruction(commitment=0.25)"},
        ("vq", "fsq"),
    ),
    "WAE_MMD": ({"model.posterior": "point", "objective": "reconstruction() + 10 * mmd()"}, ("wae",)),
    "INFOVAE_MMD": ({"objective": "elbo() + 10 * mmd('rbf')"}, ("info_vae",)),
    "Adversarial_AE": ({"model.posterior": "point", "objective": "reconstruction() + aae()"}, ("adversarial_ae",)),
    "VAEGAN": ({"data.prepare": "grey", "model.likelihood": "gaussian", "objective": "elbo() + gan()"}, ("vae_gan",)),
    "RAE_L2": ({"model.posterior": "point", "objective": "rae()"}, ("rae",)),
    "RAE_GP": ({"model.posterior": "point", "objective": "rae(decoder='slope')"}, ()),
    "MSSSIM_VAE": ({"objective": "rate() + ms_ssim()"}, ()),
    "PoincareVAE": "z lies in hyperbolic space, whose densities are not here; of curved spaces there is the sphere",
    "HVAE": "draws z by Hamiltonian steps along the gradient of log p(x, z); a posterior here sees the encoder's "
    "features and not the decoder",
    "RHVAE": "as HVAE, with a metric of the latent space that is learned besides",
    "HRQVAE": "a codebook for each level quantizes what the coarser levels left, and training drops whole levels; `vq` "
    "has one codebook, for slots side by side",
}


def pythae_section(link: Callable[[str], str]) -> str:
    """Returns the section of the page, in markdown; `link` returns the link of a config's name."""
    here = sum(not isinstance(row, str) for row in PYTHAE.values())
    lines = [
        "## The models of pythae",
        "",
        f"pythae 0.1.2 (Apache-2.0) has {len(PYTHAE)} models, each a class with a loss of its own. {here} of them are",
        "choices here, with other numbers if one likes; what is not named is the default. A config may choose more.",
        "",
        "| pythae | choices here, or why there are none | config |",
        "| --- | --- | --- |",
    ]
    for model, row in PYTHAE.items():
        words, names = (row, ()) if isinstance(row, str) else (_choices_text(row[0]), row[1])
        lines.append(f"| {model} | {words} | {', '.join(link(name) for name in names) or '-'} |")
    return "\n".join(lines)


def _choices_text(choices: _Choices) -> str:
    """Returns the choices as a config has them: digits are a number, the rest is text."""
    written = {name: text if text.isdigit() else repr(text) for name, text in choices.items()}
    return ", ".join(f"`{name}={text}`" for name, text in written.items()) or "the defaults"
