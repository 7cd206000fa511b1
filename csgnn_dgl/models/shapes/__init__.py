"""Models of shapes, from point clouds to features."""
