"""x."""

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
