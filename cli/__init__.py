"""The command ``csgnn-dgl``. Commands only parse arguments, call the package, and print."""
