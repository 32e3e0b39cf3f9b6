"""Trains a VAE: python train.py --config configs/digits.py [--workdir runs/digits] [--config.train.seed=1]"""

from jaxvae.cli import train

if __name__ == "__main__":
    raise SystemExit(train())
