"""Measurements: this toolkit beside plain DGL, plain PyTorch Geometric, and what is possible."""
