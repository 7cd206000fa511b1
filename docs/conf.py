"""Sphinx: ``make docs`` builds the pages and the API reference into docs/_build/html.

Warnings are errors, and so are references to what does not exist.
"""

from __future__ import annotations

import importlib.util
import os
import pydoc
import sys
from pathlib import Path
from typing import Any

from docutils.nodes import Element, Node, document
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

import csgnn_dgl

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

import reference  # noqa: E402

project = "csgnn-dgl"
author = "The csgnn-dgl developers"
release = csgnn_dgl.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
# `make docs` runs the tutorials. With TUTORIALS=0 they are shown, but not run.
sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "learn",
    "filename_pattern": r"\.py$",
    # Modules that the tutorials import.
    "ignore_pattern": r"(my_models|vasp_stand_in)\.py$",
    "plot_gallery": os.environ.get("TUTORIALS", "1") != "0",
    "within_subsection_order": "ExampleTitleSortKey",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
}
myst_enable_extensions = ["deflist"]
# Links to sections of other pages.
myst_heading_anchors = 3
# Docstrings are NumPy's. A second pass would find types where there are none.
napoleon_google_docstring = False
napoleon_custom_sections = ["Shapes"]
# Overridden methods of Lightning and PyTorch are explained there.
autodoc_inherit_docstrings = False
autodoc_typehints = "description"
# Options of commands have no documentation in their class; they stand on the pages of the commands.
autodoc_typehints_description_target = "documented_params"
html_theme = "furo"
# The gallery makes notebooks and lists of times beside its pages.
exclude_patterns = ["_build", "tutorials", "learn/*.ipynb"]
exclude_patterns += ["sg_execution_times.rst", "learn/sg_execution_times.rst"]
suppress_warnings = ["config.cache"]
nitpicky = True
# The reference is complete without these packages, too.
autodoc_mock_imports = [
    name for name in ("sklearn", "pymatgen") if importlib.util.find_spec(name) is None
]


_DOCUMENTED = reference.documented_names()


def _resolve(
    app: Sphinx, env: BuildEnvironment, node: Element, contnode: Node
) -> Element | Node | None:
    """Link short names. A name without a page stays plain text, if the object exists."""
    if node.get("refdomain") != "py":
        return None
    name: str = node["reftarget"]
    # Docstrings name the module that defines an object. It is documented where it is public.
    name = _DOCUMENTED.get(name, name).lstrip("~")
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
            if found is not None:
                return True
    return False


def _name_what_is_meant(app: Sphinx, doctree: document) -> None:
    """Give references the name under which the object is documented.

    Annotations name an object as its module does, and two rooms may have objects of one name.
    """
    for node in doctree.findall(pending_xref):
        module = sys.modules.get(node.get("py:module") or "")
        name = node["reftarget"]
        found = vars(module).get(name) if module is not None else None
        if node.get("refdomain") == "py" and hasattr(found, "__qualname__"):
            full = f"{found.__module__}.{found.__qualname__}"
            node["reftarget"] = _DOCUMENTED.get(full, name)


def _of_data(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Mend the documentation of constants before napoleon reads it."""
    if what not in ("data", "attribute", "property") or not lines:
        return
    if lines[0] == str(type(obj).__doc__).partition("\n")[0]:
        # The constant has no comment, and this is the documentation of its type.
        lines.clear()
    else:
        # Otherwise napoleon takes the words before a colon for a type.
        lines[0] = f": {lines[0]}"


def setup(app: Sphinx) -> None:
    """Write the generated pages, and connect the resolver; Sphinx calls this."""
    reference.write_pages(DOCS)
    app.connect("doctree-read", _name_what_is_meant)
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-process-docstring", _of_data, priority=100)
