"""Sphinx: ``make docs`` builds the pages and the API reference into docs/_build/html."""

import csgnn_dgl

project = "csgnn-dgl"
author = "The csgnn-dgl developers"
release = csgnn_dgl.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "myst_parser",
]
napoleon_custom_sections = ["Shapes"]
autodoc_typehints = "description"
html_theme = "furo"
exclude_patterns = ["_build"]
