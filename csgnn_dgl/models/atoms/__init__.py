"""Models of atoms, from neighbours to a descriptor of every atom."""
