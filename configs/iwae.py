"""x."""

from jaxvae.config import Config, Data, Evaluate, Model, Train


def get_config() -> Config:
    return Config(
        data=Data(name="digits", prepare="binarize", batch_size=128, validation=0.1),
        model=Model(latent_dim=8, encoder="mlp(400, 200)", decoder="mlp(200, 400)", likelihood="bernoulli"),
        objective="iwae()",
        train=Train(steps=3000, samples=6, log_every=100, validate_every=500, checkpoint_every=1000),
        evaluate=Evaluate(samples=1000),
    )
