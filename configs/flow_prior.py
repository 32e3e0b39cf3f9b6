"""A learned prior: a dense VAE on MNIST, 784-512-512-40-512-512-784, whose p(z) is a RealNVP of 8 couplings.

Command: python train.py --config configs/flow_prior.py --config.data.data_dir=FOLDER   (where TFDS prepared MNIST)
Claim:    -log p(x) <= 83.5 (IW-5000), nats, all 10,000 test images, dynamic binarization; a prototype of the
          same net with the standard prior reached 88.2.
Measured: -ELBO 85.96 +- 0.23, IW-100 82.99 +- 0.22, IW-5000 82.54 +- 0.22 (standard errors over images; seed 0;
          60 epochs of 55,000 images, 5,000 held out for validation). 9 min 8 s from start to report
          on 2 CPU cores (AMD EPYC, Zen 4) that did other work besides; it takes 10 min 44 s of one core's time.
          KL warm-up matters: without it 21 of the 40 latents stay active and IW-100 is 84.34. So does gelu: with relu
          and a learning rate of 1e-3, 85.43.
"""

from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train

STEPS_PER_EPOCH = 55_000 // 100


def get_config() -> Config:
    return Config(
        data=Data(name="mnist", prepare="binarize", batch_size=100, validation=5_000),
        model=Model(
            latent_dim=40,
            encoder="mlp(512, 512, activation='gelu')",
            prior="realnvp(steps=8, hidden=128)",
            decoder="mlp(512, 512, activation='gelu')",
            likelihood="bernoulli",
        ),
        objective="elbo(beta=linear(0.1, 1, steps=5500))",
        optimizer=Optimizer(name="adam", learning_rate=2e-3, schedule="cosine(warmup=500)", ema=0.999),
        train=Train(
            steps=60 * STEPS_PER_EPOCH, validate_every=5 * STEPS_PER_EPOCH, checkpoint_every=5 * STEPS_PER_EPOCH
        ),
        evaluate=Evaluate(samples=100),
    )
