"""Figures 2, 3 and 5 of the paper, drawn from this package's own objects."""
