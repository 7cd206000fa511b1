"""All formats by name."""

from __future__ import annotations

from tests.fuzz.atom_formats import ATOM_FORMATS
from tests.fuzz.run_formats import RUN_FORMATS
from tests.fuzz.shape_formats import SHAPE_FORMATS

__all__ = ["FORMATS"]

#: Every format that a command reads.
FORMATS = {form.name: form for form in (*SHAPE_FORMATS, *ATOM_FORMATS, *RUN_FORMATS)}
