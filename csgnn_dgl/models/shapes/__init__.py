"""Models of shapes: point clouds to features."""
