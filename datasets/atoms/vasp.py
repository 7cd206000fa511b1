"""Find and read results of VASP: ``vasprun.xml``, or ``POSCAR`` and ``DOSCAR``.

ASE does not read the curves of a ``vasprun.xml``, and pymatgen would require thirteen more
packages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from csgnn_dgl._foreign import excerpt, reading
from csgnn_dgl.datasets.atoms.vasp_doscar import read_doscar
from csgnn_dgl.datasets.atoms.vasp_run import VaspRun
from csgnn_dgl.datasets.atoms.vasp_xml import read_vasprun
from csgnn_dgl.errors import DataError

__all__ = ["VaspRun", "find_runs", "holds_runs", "read_run"]

_XML = ("vasprun.xml", "vasprun.xml.gz")
_DOSCAR = ("DOSCAR", "DOSCAR.gz")


def find_runs(
    path: Path, unreadable: Callable[[OSError], object] = lambda problem: None
) -> list[Path]:
    """Find the file with results in a folder, or else the files in the folders below it.

    Hidden folders below are left out.

    Parameters
    ----------
    path
        A folder, a ``vasprun.xml[.gz]`` or a ``DOSCAR[.gz]``.
    unreadable
        Called with the error of each folder below that cannot be read.

    Raises
    ------
    DataError
        There are no results, or the path cannot be read.
    """
    shown = excerpt(path)
    with reading(path):
        if path.is_file():
            if path.name.startswith(("vasprun", "DOSCAR")):
                return [path]
            raise DataError(f"{shown} is neither a vasprun.xml nor a DOSCAR")
        if not path.exists():
            raise DataError(f"{shown} does not exist")
        if not path.is_dir():
            raise DataError(f"{shown} is a device, a pipe or a socket, not a folder")
        own = _results(path, os.listdir(path))
        if own is not None:
            return [own]
        found = list(_below(path, unreadable))
        if not found:
            raise DataError(
                f"{shown} holds no vasprun.xml[.gz] and no DOSCAR, nor does a folder in it"
            )
        return found


def _below(path: Path, unreadable: Callable[[OSError], object]) -> Iterator[Path]:
    for place, folders, files in os.walk(path, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found = _results(Path(place), files)
        if found is not None:
            yield found


def holds_runs(path: Path) -> bool:
    """Whether a folder, or one below it that is not hidden, holds results.

    Examples
    --------
    >>> holds_runs(Path("absent"))
    False
    """
    return next(_below(path, lambda problem: None), None) is not None


def _results(folder: Path, names: list[str]) -> Path | None:
    return next((folder / name for name in (*_XML, *_DOSCAR) if name in names), None)


def read_run(file: Path) -> VaspRun:
    """Read a ``vasprun.xml[.gz]``, or a ``DOSCAR[.gz]`` with the ``POSCAR`` beside it.

    Curves of both spins are added up.

    Raises
    ------
    DataError
        The file is incomplete, has no density of states, or has words in place of numbers; or rows
        or atoms do not match.
    """
    with reading(file):
        return read_doscar(file) if file.name.startswith("DOSCAR") else read_vasprun(file)
