"""Data in files of the user: image folders and NumPy files."""
