"""Measure this toolkit against plain DGL, plain PyTorch Geometric, and a lower bound."""
