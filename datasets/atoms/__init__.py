"""Structures of atoms: reading files, making the carbon set."""
