"""Graph learning on concentric spheres, for 3-D data whose orientation is arbitrary."""

__version__ = "0.1.0"
