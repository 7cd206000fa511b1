"""Data: shapes with classes, and structures of atoms with densities of states."""
