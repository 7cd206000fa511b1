"""Structures of atoms: readers of files, and the carbon set."""
