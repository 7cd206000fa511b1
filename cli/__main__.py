"""``python -m csgnn_dgl.cli``."""

from csgnn_dgl.cli.main import main

main()
