"""A VAE-GAN: the sigma-VAE of configs/sigma_vae.py, whose reconstructions shall also look real to a critic.

Command: python train.py --config configs/vae_gan.py
Claim:    sharper reconstructions than sigma_vae's (Larsen et al. 2015, arXiv 1512.09300), for a worse likelihood.
          Sharpness is the mean squared difference of neighbouring pixels, down plus across.
Measured: sharpness of the test images' reconstructions 0.217, of sigma_vae's 0.191 (the difference is 0.026 +- 0.001),
          of the images themselves 0.262; mean square error 0.0134 and 0.0137. What is drawn from the prior gains
          little, 0.160 against 0.155: the critic is not shown it. -ELBO -30.46 +- 0.71, IW-1000 -35.11 +- 0.62, rate
          16.21 +- 0.08, nats, all 360 test images, uniform dequantization (standard errors over images; seed 0);
          sigma_vae has -34.38, -38.47 and 12.74 after 5,000 steps, these are 3,000. The steps took 65 s on 2 CPU cores
          (AMD EPYC, Zen 4), shared with other work.
"""

from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train


def get_config() -> Config:
    return Config(
        data=Data(name="digits", prepare="dequantize", batch_size=128, validation=0.1),
        model=Model(
            latent_dim=8,
            encoder="mlp(400, 200, dropout=0.2)",
            decoder="mlp(200, 400, dropout=0.2)",
            likelihood="gaussian('optimal')",
        ),
        objective="elbo() + 20.0 * gan(channels=(16, 32))",
        optimizer=Optimizer(critic_learning_rate=1e-3),
        train=Train(steps=3000, log_every=100, validate_every=500, checkpoint_every=1000),
        evaluate=Evaluate(samples=1000),
    )
