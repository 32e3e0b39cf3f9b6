"""The models of pythae, a library with a class for each of them, and which row of choices each is here, or why not."""

from __future__ import annotations

from collections.abc import Callable

# Each row: a model of pythae 0.1.2 -> (the configs that make it here, what they choose), or ((), why there is none).
PYTHAE: dict[str, tuple[tuple[str, ...], str]] = {
    "AE": (("ae",), "posterior `point`, objective `reconstruction`"),
    "VAE": (("vae", "digits", "mnist"), "the defaults"),
    "BetaVAE": (("beta_vae",), "objective `elbo(beta=...)`"),
    "DisentangledBetaVAE": (("capacity_vae",), "objective `capacity(...)`"),
    "FactorVAE": (("factor_vae",), "objective `elbo() + ... * factor()`"),
    "BetaTCVAE": (("tc_vae",), "objective `tc(beta=...)`"),
    "VAE_IAF": (("iaf",), "posterior `iaf(...)`"),
    "VAE_LinNF": (
        (),
        "a planar or radial step bends z along one direction or around one point, so that many are needed, and is no "
        "part here; the flow posteriors `coupling` and `iaf` take its place",
    ),
    "IWAE": (("iwae", "dreg"), "objective `iwae()`, `train.samples=K`"),
    "MIWAE": (("miwae",), "objective `miwae(groups=...)`"),
    "CIWAE": ((), "objective `0.5 * elbo() + 0.5 * iwae()`, with any weight; no config of its own"),
    "PIWAE": (
        (),
        "trains the encoder by one bound and the decoder by another; an objective here is one loss for both",
    ),
    "VAMP": (("vamp",), "prior `vamp(...)`"),
    "SVAE": (("hyperspherical",), "posterior `vmf`, prior `sphere`"),
    "VQVAE": (("vq", "fsq"), "posterior `vq(...)`, prior `codes`"),
    "WAE_MMD": (("wae",), "objective `reconstruction() + ... * mmd(...)`"),
    "INFOVAE_MMD": (("info_vae",), "objective `elbo() + mmd(...)`"),
    "Adversarial_AE": (("adversarial_ae",), "objective `reconstruction() + aae()`"),
    "VAEGAN": (("vae_gan",), "objective `elbo() + gan()`"),
    "RAE_L2": (("rae",), "objective `rae()`"),
    "RAE_GP": ((), "penalises the decoder's gradient in z; an objective here sees terms of the bound, not the network"),
    "MSSSIM_VAE": (
        (),
        "compares pictures by a similarity that is no log-density of x, so that nothing bounds log p(x); what "
        "`likelihood` names here is a density",
    ),
    "PoincareVAE": (
        (),
        "z lies in hyperbolic space, whose densities are not here; of curved spaces there is the sphere",
    ),
    "HVAE": (
        (),
        "draws z by Hamiltonian steps along the gradient of log p(x, z); a posterior here sees the encoder's features "
        "and not the decoder",
    ),
    "RHVAE": ((), "as HVAE, with a metric of the latent space that is learned besides"),
    "HRQVAE": (
        (),
        "a codebook for each level quantizes what the coarser levels left, and training drops whole levels; `vq` has "
        "one codebook, for slots side by side",
    ),
}


def comparison(link: Callable[[str], str]) -> str:
    """The section of the page, in markdown; `link` writes a config's name."""
    lines = [
        "## The models of pythae",
        "",
        f"pythae 0.1.2 (Apache-2.0) has {len(PYTHAE)} models, each a class with a loss of its own. Here:",
        "",
        "| pythae | config | choices, or why there are none |",
        "| --- | --- | --- |",
    ]
    for model, (names, words) in PYTHAE.items():
        lines.append(f"| {model} | {', '.join(link(name) for name in names) or '-'} | {words} |")
    return "\n".join(lines)
