"""The configuration of a run: its fields, the command line that sets them, and the parts that its strings name."""

from jaxvae.config.schema import Config, Data, Evaluate, Model, Optimizer, Train

__all__ = ["Config", "Data", "Evaluate", "Model", "Optimizer", "Train"]
