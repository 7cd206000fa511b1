"""The command ``csgnn-dgl``. Thin: parse, call, print."""
