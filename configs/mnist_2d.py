"""The VAE of the tutorials, 784-500-2-500-784 on MNIST, trained to the end.

Command: python train.py --config configs/mnist_2d.py --config.data.data_dir=FOLDER
"""

from jaxvae.config import Config, Data, Evaluate, Model, Optimizer, Train

STEPS_PER_EPOCH = 55_000 // 100


def get_config() -> Config:
    return Config(
        data=Data(name="mnist", prepare="binarize", batch_size=100, validation=5_000),
        model=Model(latent_dim=2, encoder="mlp(500)", decoder="mlp(500)", likelihood="bernoulli"),
        objective="elbo(beta=1.0)",
        optimizer=Optimizer(name="adam", learning_rate=2e-3, schedule="cosine()", ema=0.999),
        train=Train(
            steps=60 * STEPS_PER_EPOCH, validate_every=5 * STEPS_PER_EPOCH, checkpoint_every=5 * STEPS_PER_EPOCH
        ),
        evaluate=Evaluate(samples=100),
    )
