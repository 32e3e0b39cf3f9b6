"""TFDS data sets: opened as prepared, downloaded, decoded, or read record by record."""
