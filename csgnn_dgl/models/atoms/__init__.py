"""Models of atoms: neighbours to a descriptor of every atom."""
