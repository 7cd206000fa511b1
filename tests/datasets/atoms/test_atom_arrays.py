"""Arrays over atoms in archives: damaged ones are named, and none takes the memory."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from csgnn_dgl.datasets.atoms.atom_arrays import AtomArrays
from csgnn_dgl.errors import DataError


def archive(folder: Path, header: str | None = None, data: bytes = b"") -> Path:
    """An archive with the array ``charge`` of two atoms, or with a header of one's own."""
    path = folder / "a.npz"
    if header is None:
        np.savez(path, charge=np.array([0.5, -0.5]))
        return path
    content = io.BytesIO()
    content.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little"))
    content.write(header.encode() + data)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("charge.npy", content.getvalue())
    return path


def test_sound_archives_are_read(tmp_path: Path) -> None:
    arrays = AtomArrays(archive(tmp_path), ["charge"], 2)
    assert arrays.of(bulk("NaCl", "rocksalt", 5.64))["charge"].tolist() == [0.5, -0.5]
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"
    arrays = AtomArrays(archive(tmp_path, header, np.array([1.0, 2.0]).tobytes()), ["charge"], 2)
    assert arrays.of(bulk("NaCl", "rocksalt", 5.64))["charge"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 30000000000000)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 700000000)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1e3,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '<f8', 'fortran_order': False}",
        "(" * 3000,
        "",
    ],
)
def test_damaged_headers_are_named(header: str, tmp_path: Path) -> None:
    path = archive(tmp_path, header, bytes(16))
    with pytest.raises(DataError, match=r"a\.npz cannot be read") as caught:
        AtomArrays(path, ["charge"], 2)
    assert "\n" not in str(caught.value)


def test_bombs_and_broken_archives_are_named(tmp_path: Path) -> None:
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 40000000)}"
    path = archive(tmp_path, header, bytes(80_000_000))
    with pytest.raises(DataError, match="expands to more than 64 MiB"):
        AtomArrays(path, ["charge"], 2)
    path.write_bytes(archive(tmp_path).read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        AtomArrays(path, ["charge"], 2)


@pytest.mark.parametrize("name", ["npz_encrypted", "npz_lzma_damaged", "npz_method9"])
def test_damaged_archives(name: str, shared_data: Path) -> None:
    path = shared_data / "damaged" / f"{name}.npz"
    with zipfile.ZipFile(path) as file:
        names = [Path(member).stem for member in file.namelist()]
    with pytest.raises(DataError, match="cannot be read"):
        AtomArrays(path, names, 2)
