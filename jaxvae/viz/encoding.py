"""Numbers and bytes as text for the JSON and HTML of pages."""

import base64

__all__ = ["encode_base64", "round_significant"]


def encode_base64(content: bytes) -> str:
    """Returns the bytes as text in base64."""
    return base64.b64encode(content).decode("ascii")


def round_significant(value: float, digits: int = 6) -> float:
    """Returns the number rounded to so many significant digits, by which JSON stays short."""
    return float(f"{value:.{digits}g}")
