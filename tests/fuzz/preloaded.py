"""Imported once, before workers are forked: it imports the readers and makes all sound files."""

from __future__ import annotations

from tests.fuzz.formats import FORMATS

__all__: list[str] = []

for form in FORMATS.values():
    form.prepare()
