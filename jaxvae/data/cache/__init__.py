"""The cache of decoded data: folders and the arrays in them."""
