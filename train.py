"""Trains a VAE: python train.py --config configs/digits.py [--workdir runs/digits] [--config.train.seed=1]"""

import sys

from jaxvae.runtime.signals import exit_on_signal


def main() -> int:
    """`jaxvae train`; a signal is answered while the rest is imported, too."""
    with exit_on_signal():
        from jaxvae import cli

        return cli.main(["train", *sys.argv[1:]])


if __name__ == "__main__":
    raise SystemExit(main())
