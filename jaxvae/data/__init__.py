"""Reading data sets: found, prepared and decoded once, then memory-mapped."""
