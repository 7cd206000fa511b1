"""``python -m csgnn_dgl``: the command ``csgnn-dgl``."""

from csgnn_dgl.cli.main import main

main()
