"""Imported once, before workers are forked: it imports the readers and makes all sound files."""

from __future__ import annotations

import torch

from tests.fuzz.formats import FORMATS

__all__: list[str] = []

# A fork copies no threads, so none may be started.
torch.set_num_threads(1)
for form in FORMATS.values():
    form.prepare()
