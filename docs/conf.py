"""Sphinx: ``make docs`` builds the pages and the API reference into docs/_build/html.

Warnings are errors, and so are references to what does not exist.
"""

from __future__ import annotations

import importlib.util
import pydoc
import sys
from typing import Any

from docutils.nodes import Element, Node
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

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
nitpicky = True
# Links to sections of other pages.
myst_heading_anchors = 3
# The reference is complete without these packages, too.
autodoc_mock_imports = [
    name for name in ("sklearn", "pymatgen") if importlib.util.find_spec(name) is None
]


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: Element, contnode: Node
) -> Element | Node | None:
    """Link short names. A name without a page stays plain text, if the object exists."""
    if node.get("refdomain") != "py":
        return None
    name: str = node["reftarget"]
    # Find the one documented object with a short name, such as csgnn_dgl.errors.DataError.
    found: list[Any] = env.get_domain("py").find_obj(env, None, None, name, None, 1)  # type: ignore[attr-defined]
    if len({entry.node_id for _, entry in found}) == 1:
        _, entry = found[0]
        page = node["refdoc"]
        return make_refnode(app.builder, page, entry.docname, entry.node_id, [contnode], name)
    if pydoc.locate(name) is not None or _is_ours(name):
        return contnode
    return None


def _is_ours(name: str) -> bool:
    """Whether a module of the package knows the name: a type alias, a constant, an import."""
    first, *rest = name.split(".")
    for key, module in list(sys.modules.items()):
        if key.startswith("csgnn_dgl") and first in vars(module):
            found: Any = vars(module)[first]
            for part in rest:
                found = getattr(found, part, None)
            return found is not None
    return False


def setup(app: Sphinx) -> None:
    """Connect the resolver; Sphinx calls this."""
    app.connect("missing-reference", _resolve)
