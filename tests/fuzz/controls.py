"""Readers that misbehave as a file tells them: each must be noticed."""

from __future__ import annotations

import os
import signal
import time
import warnings
from pathlib import Path

from csgnn_dgl.errors import DataError
from tests.fuzz.format import Format, Seed

__all__ = ["CONTROLS"]


def _obey(folder: Path, target: Path) -> None:
    kind = target.read_text()
    if kind == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif kind == "hang":
        while True:
            pass
    elif kind == "wait":
        time.sleep(1000)
    elif kind == "memory":
        bytearray(64 << 30)
    elif kind == "hidden memory":
        try:
            bytearray(64 << 30)
        except MemoryError as error:
            raise DataError(f"{target} needs too much") from error
    elif kind == "growth":
        assert b"x" * (300 << 20)
    elif kind == "traceback":
        raise ValueError("a bug")
    elif kind == "panic":
        raise BaseException("of an extension")
    elif kind == "lines":
        raise DataError(f"{target}: one\ntwo")
    elif kind == "long":
        raise DataError(f"{target}: {'9' * 5000}")
    elif kind == "escape":
        raise DataError(f"{target}: \x1b[31m")
    elif kind == "nameless":
        raise DataError("it cannot be read")
    elif kind == "unsafe":
        raise DataError(f"{target}: use weights_only=False")
    elif kind == "wrong":
        raise AssertionError("2 is not 3")
    elif kind == "warning":
        warnings.warn("odd", RuntimeWarning, stacklevel=1)
    elif kind == "refused":
        raise DataError(f"{target} is damaged")


def _sound() -> list[Seed]:
    return [Seed.of("told.txt", "fine")]


#: Formats for tests of the fuzzer itself.
CONTROLS = {"control": Format("control", _sound, _obey)}
