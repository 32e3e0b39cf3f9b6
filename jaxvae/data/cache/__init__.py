"""The cache of decoded data: folders, arrays and their checksums."""
