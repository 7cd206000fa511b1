"""Graph learning on concentric spheres, for 3-D data whose orientation is arbitrary."""

from csgnn_dgl import _graphbolt

__version__ = "0.1.0"

# From here on a plain `import dgl` works too, whatever torch it finds.
_graphbolt.install()
