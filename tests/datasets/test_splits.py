"""What is held out for a seed is what it always was: old runs are evaluated on the same split."""

from __future__ import annotations

GROUPS = list("abacabbaacdaabbbccaabbaaacbbca")
# Taken from version 0.4, before splits moved to one place.
