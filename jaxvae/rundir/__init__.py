"""The run directory: the files that a run writes, and reading them back."""
