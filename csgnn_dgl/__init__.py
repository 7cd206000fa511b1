"""Graph learning on concentric spheres, for 3-D data of any orientation."""

from csgnn_dgl import _graphbolt

__version__ = "0.2.0"

# Afterwards a plain `import dgl` works too, with any version of torch.
_graphbolt.install()
