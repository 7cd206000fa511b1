"""Pages about structures of atoms."""
