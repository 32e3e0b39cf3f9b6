"""A convolutional VAE on MNIST: 32 and 64 channels, 4x4 kernels, stride 2, a dense layer of 256, 32 latents, mirrored.

Command: python train.py --config configs/mnist_conv.py --config.data.data_dir=FOLDER   (where TFDS prepared MNIST)
Measured: -ELBO 96.76 +- 0.25, IW-100 91.56 +- 0.23, nats, all 10,000 test images, dynamic binarization (standard
          errors over images; seed 0; 10 epochs of 55,000 images, 5,000 held out for validation). 3 min of training on
          2 CPU cores (AMD EPYC, Zen 4), then 2 min for IW-100: measured with evaluate.samples=100, the config has 20.
"""

from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train

STEPS_PER_EPOCH = 55_000 // 128


def get_config() -> Config:
    return Config(
        data=Data(name="mnist", prepare="binarize", batch_size=128, validation=5_000),
        model=Model(latent_dim=32, encoder="conv(32, 64)", decoder="conv(64, 32)", likelihood="bernoulli"),
        objective="elbo(beta=1.0)",
        optimizer=Optimizer(name="adam", learning_rate=1e-3, schedule="cosine()", ema=0.999),
        train=Train(steps=10 * STEPS_PER_EPOCH, validate_every=STEPS_PER_EPOCH, checkpoint_every=STEPS_PER_EPOCH),
        evaluate=Evaluate(samples=20),
    )
