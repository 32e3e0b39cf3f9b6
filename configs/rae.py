"""A regularized autoencoder: a code without noise, which is kept small, and a decoder whose weights are.

Command: python train.py --config configs/rae.py
Claim:    the codes stay near the prior without anything that compares distributions, for little of the reconstruction
          (Ghosh et al. 2019, arXiv 1903.12436). Nothing but code=0.02, found by three trials, sets their spread: with
          0.1 it is 0.50 to 0.60, with 0.01 it is 1.05 to 1.37. The paper fits a density to the codes afterwards; here
          p(z) stays the standard Gaussian.
Measured: standard deviations of the test images' codes 0.89 to 1.10, of the plain autoencoder's (configs/wae.py with
          objective=reconstruction) 1.51 to 2.14; MMD^2 of codes and prior (mmd('imq') of this package) 0.0034 and
          0.0856. Distortion 11.37 +- 0.24, the plain one's 11.27 +- 0.24, nats, all 360 test images, dynamic
          binarization (standard errors over images; seed 0). The steps took 21 s on 2 CPU cores (AMD EPYC, Zen 4),
          shared with other work.
"""

from jaxvae.config import Config, Data, Evaluate, Model, Train


def get_config() -> Config:
    return Config(
        data=Data(name="digits", prepare="binarize", batch_size=128, validation=0.1),
        model=Model(
            latent_dim=8,
            encoder="mlp(400, 200)",
            posterior="point",
            decoder="mlp(200, 400)",
            likelihood="bernoulli",
        ),
        objective="rae(code=0.02)",
        train=Train(steps=3000, log_every=100, validate_every=500, checkpoint_every=1000),
        evaluate=Evaluate(samples=1),
    )
