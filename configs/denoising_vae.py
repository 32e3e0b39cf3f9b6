"""A denoising VAE on scikit-learn's digits: half of the pixels are hidden from q(z|x), and p(x|z) is asked for all.

Command: python train.py --config configs/denoising_vae.py
Claim:    it restores masked digits better than the same VAE that was trained on whole ones, and its bound from masked
          inputs, which is one on log p(x) as well (Im et al. 2017, arXiv 1511.06406), is better; from whole ones it
          is worse. To see that side by side, train the other, and score it on the same masks:
          python train.py --config configs/denoising_vae.py --config.data.corrupt=none --workdir runs/vae10
          python train.py --config configs/denoising_vae.py --config.train.init_from=runs/vae10 \\
              --config.train.steps=0 --workdir runs/vae10_masked
Measured: from masked inputs distortion 22.73 +- 0.23 and -ELBO 25.00 +- 0.22 nats, of the other 24.52 +- 0.32 and 28.28
          +- 0.32; from whole ones -ELBO 23.89 +- 0.19 and IW-100 23.40 +- 0.17, of the other 22.33 +- 0.23 and 22.05
          +- 0.19; all 360 test images, dynamic binarization, seed 0. 20 s of processor time from start to report, in 59
          s on 2 CPU cores (AMD EPYC, Zen 4) that were busy with other programs.
"""

from jaxvae.config import Config, Data, Evaluate, Model, Train


def get_config() -> Config:
    return Config(
        data=Data(name="digits", prepare="binarize", corrupt="mask(0.5)", batch_size=128, validation=0.1),
        model=Model(latent_dim=10, encoder="mlp(400, 200)", decoder="mlp(200, 400)", likelihood="bernoulli"),
        objective="elbo(beta=1.0)",
        train=Train(steps=3000, log_every=100, validate_every=500, checkpoint_every=1000),
        evaluate=Evaluate(samples=100),
    )
