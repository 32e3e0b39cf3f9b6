"""The quality of a trained model: the bound, the importance-weighted likelihood, active units, the aggregate posterior."""
