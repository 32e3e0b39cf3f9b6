"""A hyperspherical VAE: the networks and steps of configs/digits.py, but z lies on a sphere, not in a plane.

Command: python train.py --config configs/hyperspherical.py
Claim:    with two dimensions, as there, a von Mises-Fisher q(z|x) under the uniform p(z) of the sphere beats Gaussians
          of the plane, as Davidson et al. 2018 (arXiv 1804.00891) find in few dimensions. latent_dim=3 is the space
          that the sphere lies in.
Measured: -ELBO 22.83 +- 0.22, IW-1000 22.50 +- 0.21, nats, all 360 test images, dynamic binarization (standard errors
          over images; seed 0), where digits has 23.08 and 22.69; with seed 1, 23.18 and 22.62 against 23.37 and 22.89;
          with seed 2, 23.04 and 22.65 against 23.23 and 22.92.
          With the sphere of eight dimensions, latent_dim=9, 22.62 and 22.11, worse than vae's Gaussians (22.36
          and 21.87). 48 s from start to report, 24 s of them steps, on 2 shared, busy CPU cores (AMD EPYC).
"""

from jaxvae.config import Config, Data, Evaluate, Model, Train


def get_config() -> Config:
    return Config(
        data=Data(name="digits", prepare="binarize", batch_size=128, validation=0.1),
        model=Model(
            latent_dim=3,
            encoder="mlp(400, 200)",
            posterior="vmf",
            prior="sphere",
            decoder="mlp(200, 400)",
            likelihood="bernoulli",
        ),
        objective="elbo(beta=1.0)",
        train=Train(steps=5000, log_every=100, validate_every=500, checkpoint_every=1000),
        evaluate=Evaluate(samples=1000),
    )
