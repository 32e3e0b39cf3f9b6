"""Data: read once, ordered once, prepared on the device."""
