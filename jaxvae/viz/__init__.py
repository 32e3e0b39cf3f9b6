"""Figures, the report, and the explorer."""
