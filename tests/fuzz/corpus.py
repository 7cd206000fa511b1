"""Damaged files that once gave a wrong answer, killed the process or left a traceback.

Each is made here, and is as small as its defect allows.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tests.fuzz.formats import FORMATS

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """A damaged file, and what must become of it.

    Parameters
    ----------
    format, name
        How it is read, and what is wrong with it.
    files, target
        The files, and the path to read.
    expected
        ``"refused"``, ``"fine"``, or ``"either"`` where both are right: what is read is checked
        by the format's own conditions.
    says
        A pattern in the message.
    """

    format: str
    name: str
    files: Mapping[str, bytes]
    target: str
    expected: str = "refused"
    says: str = ""

    def __str__(self) -> str:
        return f"{self.format}-{self.name.replace(' ', '_')}"


def _file(form: str, target: str, name: str, content: bytes | str, **more: str) -> Case:
    data = content.encode() if isinstance(content, str) else content
    return Case(form, name, {target: data}, target, **more)


def _replaced(form: str, place: int, name: str, path: str, old: str, new: str, **more: str) -> Case:
    """A sound file in which a pattern is replaced once."""
    seed = FORMATS[form].made[place]
    before = seed.files[path]
    after = re.sub(old.encode(), lambda _: new.encode(), before, count=1)
    assert before != after, (form, name)
    return Case(form, name, {**seed.files, path: after}, seed.target, **more)


_PLANE = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"


def _meshes() -> Iterator[Case]:
    for number in ("1e155", "1e200", "1e308"):
        off = f"OFF\n4 2 0\n{_PLANE}3 0 1 2\n3 0 1 3\n".replace("1 0 0", f"{number} 0 0")
        yield _file("off", "a.off", f"corner at {number}", off, expected="either")
    off = "OFF\n4 {n} 0\n" + _PLANE + "{faces}"
    for name, count, faces in (
        ("negative sides", 2, "3 0 1 2\n-3 0 1 3\n"),
        ("surplus faces", 1, "3 0 1 2\n3 0 1 3\n"),
        ("faces of two", 2, "3 0 1 2\n2 0 1\n"),
        ("index beyond", 1, "3 0 1 9\n"),
        ("negative index", 1, "3 0 1 -1\n"),
        ("missing faces", 2, "3 0 1 2\n"),
        ("superscript index", 1, "3 0 1 ²\n"),
        ("endless index", 1, f"3 0 1 {'9' * 5000}\n"),
        ("nan corner count", 1, "nan 0 1 2\n"),
    ):
        yield _file("off", "a.off", name, off.format(n=count, faces=faces))
    yield _file("off", "a.off", "a billion corners", "OFF\n1000000000 1 0\n0 0 0\n3 0 0 0\n")
    yield _file("off", "a.off", "superscript count", f"OFF\n² 1 0\n{_PLANE}3 0 1 2\n")
    obj = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
    for name, faces in (
        ("face of two", "f 1 2\n"),
        ("face of a word", "f 1 2 x\n"),
        ("index beyond", "f 1 2 99\n"),
        ("index zero", "f 0 1 2\n"),
        ("negative beyond", "f -1 -2 -9\n"),
        ("endless index", f"f 1 2 {'9' * 5000}\n"),
    ):
        yield _file("obj", "a.obj", name, obj + "f 1 2 3\n" + faces)
    yield _file("obj", "a.obj", "corner short", obj + "v 1 1\nf 1 2 5\n")
    yield _file("obj", "a.obj", "corner of a word", obj + "v 1 1 x\nf 1 2 5\n")
    yield _file("obj", "a.obj", "corner nan", obj + "v 1 1 nan\nf 1 2 5\n")
    stl = "solid a\nfacet normal 0 0 1\nouter loop\n{}endloop\nendfacet\nendsolid a\n"
    for name, rows in (
        ("facet of two", "vertex 0 0 0\nvertex 1 0 0\n"),
        ("corner of a word", "vertex 0 0 0\nvertex 1 0 x\nvertex 0 1 0\n"),
        ("corner nan", "vertex 0 0 0\nvertex 1 0 nan\nvertex 0 1 0\n"),
        ("unfinished number", "vertex 0 0 0\nvertex 1 0 1e\nvertex 0 1 0\n"),
    ):
        yield _file("stl", "a.stl", name, stl.format(rows))
    facets = b"b".ljust(80) + struct.pack("<I", 2**32 - 1) + b"\x00" * 50
    yield _file("stl-binary", "a.stl", "four billion facets", facets)


_PLY = (
    "ply\nformat ascii 1.0\nelement vertex {n}\nproperty float x\nproperty float y\n"
    "property float z\nelement face {m}\nproperty list uchar int vertex_indices\nend_header\n"
)


def _ply() -> Iterator[Case]:
    head = _PLY.format(n=4, m=2) + _PLANE
    for name, faces in (
        ("index out of range", "3 0 1 2\n3 0 1 99\n"),
        ("index far out of range", "3 0 1 2\n3 0 1 2000000000\n"),
        ("negative index", "3 0 1 2\n3 0 1 -7\n"),
        ("zero-sided face", "3 0 1 2\n0\n"),
        ("face of two", "3 0 1 2\n2 0 1\n"),
        ("negative sides", "3 0 1 2\n-3 0 1 2\n"),
        ("face misses a number", "3 0 1\n3 0 1 2\n"),
        ("last face cut", "3 0 1 2\n3 0\n"),
        ("no faces", ""),
        ("nan in a face", "3 0 1 2\n3 0 nan 2\n"),
        ("200 corners", "200 0 1 2\n3 0 1 2\n"),
        ("quad out of range", "3 0 1 2\n4 0 1 2 77\n"),
        ("a long word", f"3 0 1 2\n3 0 1 {'2' * 5000}\n"),
    ):
        yield _file("ply", "a.ply", name, head + faces)
    short = _PLY.format(n=4, m=1) + "0 0 0\n1 0\n0 1 0\n0 0 1\n3 0 1 2\n"
    yield _file("ply", "a.ply", "corner lacks a number", short)
    for name, n, m in (
        ("a billion corners", 10**9, 1),
        ("a billion faces", 4, 10**9),
        ("fewer than no corners", -4, 1),
        ("endless count", "9" * 5000, 1),
        ("count with underscore", "1_000", 1),
        ("superscript count", "²", 1),
    ):
        yield _file("ply", "a.ply", name, _PLY.format(n=n, m=m) + _PLANE + "3 0 1 2\n")
    for length in (300, 70_000):
        text = _PLY.format(n=4, m=1).replace("float z", "float z" + "9" * length)
        yield _file("ply", "a.ply", f"property of {length}", text + _PLANE + "3 0 1 2\n")
    binary = _PLY.format(n=10**9, m=1).replace("ascii", "binary_little_endian").encode()
    yield _file("ply-binary", "a.ply", "a billion corners", binary + b"\x00" * 60)
    binary = _PLY.format(n=3, m=1).replace("ascii", "binary_little_endian").encode()
    corners = struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 1, 0)
    for name, face in (
        ("index out of range", struct.pack("<B3i", 3, 0, 1, 2**31 - 1)),
        ("negative index", struct.pack("<B3i", 3, 0, 1, -5)),
        ("zero-sided face", b"\x00"),
        ("255 corners", b"\xff" + b"\x00" * 12),
    ):
        yield _file("ply-binary", "a.ply", name, binary + corners + face)


def _npy_header(header: str, data: bytes = b"\x00" * 720) -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _clouds() -> Iterator[Case]:
    cloud = np.random.default_rng(0).normal(size=(30, 3))
    for number in ("1e30", "1e155", "1e200", "1e307", "9.99989e-321"):
        yield _file(
            "npy", "a.npy", f"all times {number}", _saved(cloud * float(number)), expected="either"
        )
        one = cloud.copy()
        one[3, 1] = float(number)
        yield _file("npy", "a.npy", f"one at {number}", _saved(one), expected="either")
    whole = "{'descr': '<f8', 'fortran_order': False, 'shape': %s}\n"
    for name, shape in (
        ("11 GiB", "(500000000, 3)"),
        ("218 TiB", "(10000000000000, 3)"),
        ("overflow", "(9223372036854775807, 3)"),
        ("shape of floats", "(30.0, 3)"),
        ("shape of truth", "(True, 3)"),
        ("unclosed", "(30, 3"),
        ("negative", "(-30, 3)"),
    ):
        yield _file("npy", "a.npy", name, _npy_header(whole % shape))
    kind = "{'descr': %s, 'fortran_order': False, 'shape': (30, 3)}\n"
    for name, descr in (("objects", "'|O'"), ("nonsense", "'zz'"), ("dates", "'<M8[s]'")):
        yield _file("npy", "a.npy", name, _npy_header(kind % descr))
    yield _file("npy", "a.npy", "null bytes", _npy_header("{'descr': '<f8\x00'"))
    odd = b"\x93NUMPY" + struct.pack("<BBI", 2, 0, 2**32 - 1) + b"x" * 99
    yield _file("npy", "a.npy", "header of 4 GiB", odd)
    yield _file("npy", "a.npy", "version 1.85", odd.replace(b"\x02\x00", b"\x01\x55", 1))
    buffer = io.BytesIO()
    np.savez(buffer, points=cloud)
    for name, place, value in (("encrypted", 8, 1), ("method 9", 10, 9), ("method 99", 10, 99)):
        data = bytearray(buffer.getvalue())
        start = data.rfind(b"PK\x01\x02")
        data[start + place] = value
        data[place - 2] = value
        yield _file("npz", "a.npz", name, bytes(data))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr(zipfile.ZipInfo("points.npy"), _saved(cloud), zipfile.ZIP_LZMA)
    data = bytearray(packed.getvalue())
    data[60:90] = b"\xff" * 30
    yield _file("npz", "a.npz", "lzma damaged", bytes(data))
    rows = "0 0 0\n1 0 0\n0 1 0\n" * 4
    for name, first in (("superscript count", "²"), ("endless count", "9" * 5000), ("13", "13")):
        yield _file("table", "a.pts", name, f"{first}\n{rows}")
    yield _file("table", "a.xyz", "superscript", rows + "0 0 ²\n")


def _hdf5_and_zips() -> Iterator[Case]:
    from tests.fuzz.shape_formats import _ODD_HDF5, _hdf5  # the same odd files

    seed = FORMATS["modelnet-hdf5"].made[0]
    for place, odd in enumerate(_ODD_HDF5):
        ((key, value), *_) = odd.items()
        if isinstance(value, np.ndarray) and value.dtype == np.dtype("i4"):
            continue
        files = {**seed.files, "m/ply_data_train0.h5": _hdf5(**odd)}
        expected = "either" if place in (18, 19, 22, 27) else "refused"
        yield Case("modelnet-hdf5", f"{key} {place}", files, "m", expected)
    sound = FORMATS["download"].made[0].files["d/x.zip"]
    data = bytearray(sound)
    start = data.find(b"PK\x01\x02")
    for offset in (6, start + 8):
        data[offset] |= 1
    start = data.find(b"PK\x01\x02", start + 4)
    data[start + 8] |= 1
    yield _file("download", "d/x.zip", "encrypted", bytes(data))
    for name in ("../x", "/x", "x/../../y", "x\\..\\y"):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("x/a", "a")
            archive.writestr(name, "b")
        yield _file("download", "d/x.zip", f"member {name}", buffer.getvalue())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("x/a", b"\x00" * 150_000_000)
    yield _file("download", "d/x.zip", "bomb", buffer.getvalue())


_P1 = """data_a
_cell_length_a {a}
_cell_length_b 5
_cell_length_c 6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_symmetry_equiv_pos_as_xyz
{operations}
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""


def _cif(name: str, target: str = "a.cif", **parts: str) -> Case:
    keys = {key: parts.pop(key) for key in ("expected", "says") if key in parts}
    whole = {"a": "4", "operations": "x,y,z", "sites": "C1 0.1 0.2 0.3 1", **parts}
    return _file("cif", target, name, _P1.format(**whole), **keys)


def _cifs() -> Iterator[Case]:
    odd = "x,y,z\n-x,-y,1/2+z\n-y,x,z"
    yield _cif("no group", "3-sites.cif", a="5", operations=odd, expected="either")
    for name, operation in (
        ("unreadable", "rubbish"),
        ("nan", "nan,y,z"),
        ("infinite", "x+1e999,y,z"),
        ("two", "x,y"),
        ("singular", "x,x,z"),
        ("division by zero", "x+1/0,y,z"),
    ):
        yield _cif(f"operation {name}", operations=f"x,y,z\n{operation}")
    yield _cif("row lacks a value", sites="C1 0.1 0.2 0.3 1\nO1 0.4 0.5 0.6\nN1 0.7 0.8 0.9 1")
    yield _cif("unknown occupancy", sites="C1 0.1 0.2 0.3 ?", expected="either")
    for edge in ("4e5", "4e6", "3e12", "1e300", "nan", "-4", "0", "9" * 5000):
        yield _cif(f"edge of {edge[:8]}", a=edge, expected="either")
    twice = _P1.format(a="4", operations="x,y,z", sites="C1 0.1 0.2 0.3 1").replace(
        "_cell_length_a", "_chemical_formula_sum 'C'\n_chemical_formula_sum 'C'\n_cell_length_a"
    )
    yield _file("cif", "1-sites.cif", "formula twice", twice, expected="fine")


def _structures() -> Iterator[Case]:
    salt = "c\n{scale}\n{cell}\nNa Cl\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"
    cube = "3 0 0\n0 3 0\n0 0 3"
    for edge in ("5e4", "1e5", "2e5", "4e5", "1e6", "1e9", "3e12", "1e300"):
        cell = cube.replace("3 0 0", f"{edge} 0 0", 1)
        yield _file(
            "poscar",
            "POSCAR",
            f"edge of {edge}",
            salt.format(scale=1, cell=cell),
            expected="either",
        )
        yield _file(
            "poscar",
            "POSCAR",
            f"scale of {edge}",
            salt.format(scale=edge, cell=cube),
            expected="either",
        )
        far = f"2\nfar\nC 0 0 0\nC {edge} 0 0\n"
        yield _file("xyz", "a.xyz", f"an atom at {edge}", far, expected="either")
        lattice = 'Lattice="3 0 0 0 3 0 0 0 3" Properties=species:S:1:pos:R:3 pbc="T T T"'
        text = f"2\n{lattice}\nC 0 0 0\nC {edge} 1 1\n"
        yield _file("extxyz", "a.extxyz", f"a periodic atom at {edge}", text, expected="either")
    for skew in ("300", "3000", "20000", "200000", "2000000", "20000000", "-20000000.5"):
        cell = cube.replace("3 0 0", f"3 {skew} 0", 1)
        yield _file(
            "poscar",
            "POSCAR",
            f"skewed by {skew}",
            salt.format(scale=1, cell=cell),
            expected="either",
        )
    for name, count in (("superscript", "²"), ("endless", "9" * 5000), ("a billion", "1000000000")):
        text = salt.format(scale=1, cell=cube).replace("1 1\n", f"1 {count}\n", 1)
        yield _file("poscar", "POSCAR", f"{name} count", text)
        yield _file("xyz", "a.xyz", f"{name} count", f"{count}\n\nC 0 0 0\n")
    for width in (2**63, 2**64):
        wide = f"1\nProperties=species:S:1:pos:R:3:x:R:{width}\nC 0 0 0\n"
        yield _file("extxyz", "a.extxyz", f"column of {width}", wide)
    wide = "1\nProperties=species:S:4294967295:pos:R:3\nC 0 0 0\n"
    yield _file("extxyz", "a.extxyz", "wide column", wide)


def _json() -> Iterator[Case]:
    place = next(i for i, s in enumerate(FORMATS["ase"].made) if s.target.endswith(".json"))
    for target, name, old, new in (
        ("salt.cfg", "columns without end", r"entry_count = \d+", f"entry_count = {2**63 - 1}"),
        ("salt.cfg", "a billion atoms", r"particles = \d+", "particles = 1000000000"),
        ("salt.cube", "element 127", r"(?m)^ +11 ", "  127 "),
    ):
        other = next(i for i, s in enumerate(FORMATS["ase"].made) if s.target == target)
        yield _replaced("ase", other, f"{target} {name}", target, old, new)
    for name, old, new in (
        ("array of a billion", r"\[3, 3\]", "[3, 1000000000]"),
        ("one number for all", r"\[0\.0, 0\.0, 0\.0, 2\.8, 0\.0, 0\.0\]", "[0.5]"),
    ):
        yield _replaced("ase", place, name, "salt.json", old, new, says="shape")


def _results() -> Iterator[Case]:
    path, out = "r/DOSCAR", "r/OUTCAR"
    for name, new in (("superscript", "²"), ("endless", "9" * 5000), ("fraction", "2.5")):
        yield _replaced("doscar", 0, f"{name} atoms", path, r"   2   2", f"   {new}   2")
    for name, new in (
        ("3.7", "  3.7"),
        ("400 digits", " " + "9" * 400),
        ("a billion", " 1000000000"),
    ):
        yield _replaced("doscar", 0, f"size {name}", path, r"   31 ", f"{new} ")
    for name, new in (("dots", "1.2.3"), ("dot", "."), ("nan", "nan"), ("endless", "9" * 5000)):
        yield _replaced("doscar", 0, f"NELECT {name}", out, "8.0000", new, expected="either")
    yield _replaced("doscar", 0, "states at 1e308", "r/DOSCAR", r"8.0000E\+00", "1e308")
    yield _replaced(
        "extxyz-folder",
        0,
        "a curve at 1e308",
        "d/train.extxyz",
        r'dos="\S+',
        'dos="1e308',
        expected="either",
    )
    path = "vasprun.xml"
    yield _replaced("vasprun", 0, "unknown encoding", path, "ISO-8859-1", "klingon")
    yield _replaced("vasprun", 1, "spins of unequal length", path, r"<r> -10.0000 [^/]*</r>", "")
    yield _replaced(
        "vasprun",
        2,
        "spins of ions of unequal length",
        path,
        r'ion"><set><r>[^/]*</r>',
        'ion"><set>',
        expected="either",
    )
    yield _replaced(
        "vasprun",
        2,
        "ions without sets",
        path,
        r'(?s)<set comment="ion">.*?</set></set>',
        '<set comment="ion"></set>',
        expected="either",
    )
    yield _replaced("vasprun", 0, "electrons", path, "> 8.0<", "> 1.2.3<")
    yield _replaced("vasprun", 0, "electrons beyond", path, "> 8.0<", "> 1e999<")
    yield _replaced("vasprun", 0, "Fermi level", path, "> 1.0 <", "> nan <")
    path = "d/grid.json"
    yield _replaced("grid-json", 0, "beyond 64 bits", path, "31", "9" * 30)
    yield _replaced("grid-json", 0, "endless", path, "31", "9" * 5000)
    yield _replaced("grid-json", 0, "huge energy", path, "-10.0", "1e308")
    yield _replaced("grid-json", 0, "size that is true", path, "31", "true")
    yield _replaced(
        "grid-json", 0, "endless electrons", path, ": 4,", f": {'9' * 400},", expected="either"
    )
    yield _replaced("grid-json", 0, "nested", path, '"carbon"', "[" * 20000 + "]" * 20000)


def _runs() -> Iterator[Case]:
    for name, value in (
        ("date", "2001-13-45"),
        ("offset", "2001-12-14t21:59:43.10-99:99"),
        ("map", "!!map [1]"),
        ("float", "!!float abc"),
        ("bool", "!!bool maybe"),
        ("key", f"3\n{'A' * 3000}: 1"),
        ("int", "!!int abc"),
        ("timestamp", "!!timestamp x"),
        ("binary", "!!binary é"),
        ("object", "!!python/object/apply:os.system [exit]"),
        ("digits", "9" * 5000),
        ("deep", "[" * 3000 + "]" * 3000),
        ("base", "0b2"),
        ("sixty", "1:99999999999999:1"),
    ):
        yield _file("yaml", "a-dos.yaml", name, f"epochs: {value}\n")
    lines = ["a: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    yield _file("yaml", "a-dos.yaml", "bomb", "\n".join([*lines, "epochs: *a8\n"]))
    yield _file("yaml", "a-dos.yaml", "merged with itself", "<<: &a {epochs: *a}\n")
    for name, text in (
        ("list", "[1]"),
        ("evaluation of a number", '{"evaluation": 5}'),
        ("evaluation of numbers", '{"evaluation": [1]}'),
        ("nested", '{"a":' + "[" * 20000 + "]" * 20000 + "}"),
        ("digits", '{"a": ' + "9" * 5000 + "}"),
        ("not text", "\xff\xfe"),
    ):
        files = {"run/config.yaml": b"epochs: 3\n", "run/summary.json": text.encode("latin-1")}
        yield Case("summary", name, files, "run")
    yield from _weights()
    yield from _checkpoints()


def _weights() -> Iterator[Case]:
    for place, seed in enumerate(FORMATS["safetensors"].made):
        content = seed.files[seed.target]
        size = struct.unpack("<Q", content[:8])[0]
        outer = json.loads(content[8 : 8 + size])
        inner = json.loads(outer["__metadata__"]["csgnn_dgl"])
        changes: list[tuple[str, tuple[str, ...], Any]] = [
            ("schema of text", ("schema",), "2"),
            ("schema of none", ("schema",), None),
            ("no model", ("model",), None),
            ("model of a list", ("model",), []),
            ("no hypers", ("model", "hypers"), None),
            ("level 1e9", ("model", "hypers", "level"), 10**9),
            ("kind of a list", ("kind",), ["dos"]),
            ("data of a list", ("data",), []),
            ("head of a list", ("head",), [1]),
            ("unknown key", ("surplus",), 1),
        ]
        if place == 0:
            changes += [
                ("no elements", ("model", "elements"), None),
                ("elements of text", ("model", "elements"), "C"),
                ("no grid", ("data", "grid"), None),
                ("grid of a list", ("data", "grid"), [1]),
                ("size 1e9", ("data", "grid", "size"), 10**9),
                ("step nan", ("data", "grid", "step"), float("nan")),
                ("bins 1e9", ("head", "bins"), 10**9),
            ]
        else:
            changes += [
                ("-1 points", ("data", "points"), -1),
                ("points of text", ("data", "points"), "many"),
                ("1e30 points", ("data", "points"), 1e30),
                ("up axis w", ("data", "up_axis"), "w"),
                ("pool of text", ("data", "pool"), "x"),
            ]
        for name, path, value in changes:
            changed = json.loads(json.dumps(inner))
            node = changed
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = value
            yield _file(
                "safetensors",
                seed.target,
                f"{place} {name}",
                _packed(changed, outer, content, size),
            )
        for name, number in (("nan", float("nan")), ("inf", float("inf"))):
            data = content[:-4] + struct.pack("<f", number)
            yield _file("safetensors", seed.target, f"{place} weight {name}", data)
    yield _file("safetensors", "a.safetensors", "long header", struct.pack("<Q", 2**63) + b"{}")
    yield _file("safetensors", "a.safetensors", "no header", b"")


def _packed(inner: Any, outer: Any, content: bytes, size: int) -> bytes:
    about = {**outer["__metadata__"], "csgnn_dgl": json.dumps(inner)}
    header = json.dumps({**outer, "__metadata__": about}).encode()
    return struct.pack("<Q", len(header)) + header + content[8 + size :]


class _Payload:
    def __reduce__(self) -> Any:
        return (print, ("a payload ran",))


def _checkpoints() -> Iterator[Case]:
    from tests.fuzz.run_formats import _checkpoint, _torch_saved

    for name, value in (
        ("a list", [1]),
        ("no weights", {"epoch": 1}),
        ("weights of a list", _checkpoint(state_dict=[1])),
        ("weights of text", _checkpoint(state_dict={"a": "b"})),
        ("weights by number", _checkpoint(state_dict={1: torch.ones(1)})),
        ("nan weights", _checkpoint(state_dict={"a": torch.tensor([float("nan")])})),
        ("no step", {key: value for key, value in _checkpoint().items() if key != "global_step"}),
    ):
        yield _file("checkpoint", "last.ckpt", name, _torch_saved(value))
    sound = bytearray(_torch_saved(_checkpoint()))
    # The last stored tensor: torch compares no checksums.
    for share in (0.3, 0.5, 0.7):
        data = bytearray(sound)
        data[int(len(data) * share)] ^= 16
        yield _file("checkpoint", "last.ckpt", f"bit at {share}", bytes(data), expected="either")
        yield _file(
            "checkpoint", "last.ckpt", f"cut at {share}", bytes(sound[: int(len(sound) * share)])
        )
    yield _file("checkpoint", "last.ckpt", "a payload", pickle.dumps(_Payload()))


#: All cases.
CASES: tuple[Case, ...] = (
    *_meshes(),
    *_ply(),
    *_clouds(),
    *_hdf5_and_zips(),
    *_cifs(),
    *_structures(),
    *_json(),
    *_results(),
    *_runs(),
)
