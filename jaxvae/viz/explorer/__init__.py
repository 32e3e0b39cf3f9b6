"""A page on this machine to play with a trained model: what it asks, what it is answered, and who may ask."""
