"""Probabilistic PCA of the digits: the VAE whose maps are linear, solved in closed form; nothing is trained.

Command: python train.py --config configs/ppca.py
Claim:    the ELBO is log p(x) itself, since q(z|x) is the exact posterior (Tipping & Bishop 1999): the gap between them
          is 0 but for rounding. With --config.model.posterior=point --config.model.likelihood='gaussian(1.0)'
          --config.objective=reconstruction it is PCA; without init_from, and with steps, a linear VAE or autoencoder.
Measured: log p(x) 0.24 +- 0.56 nats (IW-100), 7.995 +- 0.013 bits per dimension, all 360 test images, seed 0;
          the ELBO, at one draw of z an image, 0.22 +- 0.57.
"""

from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train


def get_config() -> Config:
    return Config(
        data=Data(name="digits", prepare="dequantize", batch_size=128),
        model=Model(latent_dim=2, encoder="linear", decoder="linear", likelihood="gaussian('learned')"),
        objective="elbo(beta=1.0)",
        optimizer=Optimizer(name="adam", learning_rate=1e-3, ema=0.0),
        train=Train(steps=0, init_from="pca"),
        evaluate=Evaluate(samples=100),
    )
