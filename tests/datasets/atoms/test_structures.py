"""Structure files: good ones, bad ones, and the files that crystallographers really have."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write

from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import ConfigError, DataError

CIF = """data_{name}
_cell_length_a 5.64
_cell_length_b 5.64
_cell_length_c 5.64
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'F m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Na1 Na 0 0 0 1
Cl1 Cl 0.5 0.5 0.5 1
"""


def save(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "a.cif"
    path.write_text(text)
    return path


def test_symmetry_is_applied(tmp_path: Path) -> None:
    (structure,) = read_structures(save(tmp_path, CIF.format(name="salt")))
    assert structure.reader == "gemmi"
    assert structure.atoms.get_chemical_formula() == "Cl4Na4"
    assert structure.atoms.pbc.all()
    distances = structure.atoms.get_all_distances(mic=True)
    assert distances[distances > 0].min() == pytest.approx(2.82)
    assert not structure.warnings
    assert structure.summary.startswith("Cl4Na4, 8 sites, cell 5.640 × 5.640 × 5.640 Å")


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("'F m -3 m'", "'F m 3 m'", None),  # the old way to write it
        ("'F m -3 m'", "Fm-3m", None),
        ("_symmetry_space_group_name_H-M 'F m -3 m'", "", "P 1 was assumed"),
        ("Cl1 Cl 0.5 0.5 0.5 1\n", "Cl1 Cl 0.5 0.5 0.5 1\nCl2 Cl 0.5 0.5 0.5 1\n", "at one place"),
    ],
)
def test_sloppy_files_are_understood(old: str, new: str, note: str | None, tmp_path: Path) -> None:
    text = CIF.format(name="salt")
    assert old in text
    (structure,) = read_structures(save(tmp_path, text.replace(old, new)))
    assert len(structure.atoms) == (2 if note == "P 1 was assumed" else 8)
    assert (note is None) == (not structure.warnings)
    if note:
        assert note in " ".join(structure.warnings)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Na1 Na 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1\n", "? ? ? ? ? ?\n", "holds no atom sites"),
        ("Cl1 Cl 0.5 0.5 0.5 1", "Cl1 Cl ? ? ? 1", "site Cl1 has no coordinates"),
        ("1\nCl1 Cl 0.5 0.5 0.5 1", "0\nCl1 Cl 0.5 0.5 0.5 0", "every site has the occupancy 0"),
        ("loop_", "loop_\n_other", "is not a well-formed CIF"),
        ("'F m -3 m'", "'Q m 7'", "space group 'Q m 7' is not known"),
        ("0 0 0 1", "0 0 0 ?", "not fully occupied: Na1 (unknown)"),
        ("0 0 0 1", "0 0 0 0.5", "not fully occupied: Na1 (0.5). Choose"),
        ("_cell_length_a 5.64", "", "gives no cell (_cell_length_a is missing)"),
        ("_cell_angle_alpha 90", "_cell_angle_alpha 0", "placeholder, singular, or not in Å"),
        ("Na1 Na", "X1 Xx", "of no known element"),
        ("Cl1 Cl 0.5 0.5 0.5 1", "Cl1 Cl 0 0 0 1", "different elements are at one place"),
    ],
)
def test_unusable_cifs_are_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = CIF.format(name="salt")
    assert old in text
    path = save(tmp_path, text.replace(old, new))
    with pytest.raises(DataError) as caught:
        read_structures(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_tiny_cells_and_absent_sites_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="placeholder, singular, or not in Å"):
        read_structures(save(tmp_path, CIF.format(name="salt").replace("5.64", "1.0")))
    head = CIF.format(name="salt").split("loop_")[0]
    with pytest.raises(DataError, match="holds no atom sites"):
        read_structures(save(tmp_path, head))


def test_partial_occupancies_are_resolved_as_chosen(tmp_path: Path) -> None:
    text = CIF.format(name="salt").replace(
        "Na1 Na 0 0 0 1\n", "Na1 Na 0 0 0 0.7\nK1 K 0 0 0 0.3\nLi1 Li 0.25 0.25 0.25 0.2\n"
    )
    path = save(tmp_path, text)
    with pytest.raises(DataError, match=r"Na1 \(0\.7\), K1 \(0\.3\), Li1 \(0\.2\)"):
        read_structures(path)
    (structure,) = read_structures(path, occupancy="majority")
    assert structure.atoms.get_chemical_formula() == "Cl4Na4"
    assert "Na1 (0.7), K1 (0.3)" in " ".join(structure.warnings)
    assert "left empty" in " ".join(structure.warnings)
    with pytest.raises(DataError, match="different elements are at one place"):
        read_structures(path, occupancy="full")
    alone = save(tmp_path, CIF.format(name="salt").replace("0 0 0 1", "0 0 0 0.6"))
    (structure,) = read_structures(alone, occupancy="full")
    assert len(structure.atoms) == 8
    with pytest.raises(ConfigError, match="did you mean 'majority'"):
        read_structures(alone, occupancy="majorty")  # type: ignore[arg-type]


def test_several_blocks(tmp_path: Path) -> None:
    path = save(tmp_path, CIF.format(name="one") + "\n" + CIF.format(name="two"))
    found = read_structures(path)
    assert [s.source for s in found] == [f"{path}[one]", f"{path}[two]"]


@pytest.mark.parametrize(
    ("name", "atoms"),
    [
        ("POSCAR", bulk("Cu", cubic=True)),
        ("a.extxyz", bulk("NaCl", "rocksalt", 5.64)),
        ("a.xyz", molecule("H2O")),
        ("a.cif", bulk("Si", cubic=True)),
    ],
)
def test_other_formats(name: str, atoms: Atoms, tmp_path: Path) -> None:
    write(tmp_path / name, atoms)
    (structure,) = read_structures(tmp_path / name)
    assert sorted(structure.atoms.numbers) == sorted(atoms.numbers)
    np.testing.assert_array_equal(structure.atoms.pbc, atoms.pbc)


def test_a_trajectory_is_many_structures(tmp_path: Path) -> None:
    write(tmp_path / "a.extxyz", [bulk("Cu"), molecule("H2O")])
    found = read_structures(tmp_path / "a.extxyz")
    assert [s.source for s in found] == [f"{tmp_path / 'a.extxyz'}[{i}]" for i in (0, 1)]
    assert "not periodic" in found[1].summary


POSCAR = "salt\n1.0\n5 0 0\n0 5 0\n0 0 5\nNa Cl\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("POSCAR", POSCAR.replace("1 1\n", "1 3\n"), "line 7 counts 4 atoms (1 3), but 2 rows"),
        ("POSCAR", POSCAR + "0.2 0.2 0.2\n", "line 7 counts 2 atoms (1 1), but 3 rows"),
        ("POSCAR", POSCAR.replace("1 1\n", "2\n"), "line 6 names 2 elements (Na Cl), but line 7"),
        ("POSCAR", POSCAR.replace("1 1\n", "\n"), "line 7 should count the atoms"),
        ("POSCAR", "salt\n", "line 6 should count the atoms"),
        (
            "POSCAR",
            POSCAR.replace("Direct", "Selective\nDirect"),
            "line 10 has 3 columns, but",
        ),
        ("CONTCAR", POSCAR.replace("1 1\n", "0 0\n"), "counts 0 atoms"),
        ("a.extxyz", "1\n\nQq 0 0 0\n", "'Qq' is missing or not known"),
        ("a.xyz", "2\n\nC 0 0 0\nC 0 0 0\n", "atoms 0 and 1 are at one place"),
        ("POSCAR", POSCAR.replace("5 0 0", "0 0 0"), "singular"),
        ("POSCAR", POSCAR.replace("0 0 0\n0.5", "nan 0 0\n0.5"), "NaN or infinite"),
        ("a.extxyz", "2\n\nC 0 0 0\n", "the file ends after 1 of 2 atoms"),
        ("a.cif", "", "is empty"),
        ("a.unknown", "words", "cannot be read"),
    ],
)
def test_other_unusable_files_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        read_structures(tmp_path / name)
    assert message in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("tail", ["\n0 0 0\n0 0 0\n", "Cartesian\n0 0 0\n0 0 0\n", "\n"])
def test_velocities_after_positions_are_not_positions(tail: str, tmp_path: Path) -> None:
    (tmp_path / "CONTCAR").write_text(POSCAR + tail)
    (structure,) = read_structures(tmp_path / "CONTCAR")
    assert len(structure.atoms) == 2


@pytest.mark.parametrize(
    "text",
    [
        POSCAR.replace("Direct", "Selective dynamics\nDirect").replace(
            "0 0 0\n0.5 0.5 0.5", "0 0 0 T T T\n0.5 0.5 0.5 F F F"
        ),
        POSCAR.replace("salt", "Na Cl").replace("5\nNa Cl\n", "5\n"),  # VASP 4: no line of symbols
        POSCAR.replace("0.5 0.5 0.5", "0.5 0.5 0.5 Cl"),
    ],
)
def test_other_kinds_of_poscar(text: str, tmp_path: Path) -> None:
    (tmp_path / "POSCAR").write_text(text)
    (structure,) = read_structures(tmp_path / "POSCAR")
    assert structure.atoms.get_chemical_formula() == "ClNa"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1 1\n", "1 ²\n", "line 7 should count the atoms of each element"),
        ("1 1\n", "9" * 5000 + " 1\n", "line 7 should count the atoms of each element"),
        ("1 1\n", "1 999999999999\n", "counts 1000000000000 atoms"),
        ("1 1\n", "-1 3\n", "line 7 should count the atoms of each element"),
        ("1.0\n", "1 1\n", "cannot be read"),
        ("1.0\n", "1e12\n", "a periodic cell vector is 5e+12 Å long"),
        ("0.5 0.5 0.5", "1e300 0 0", "from the origin"),
    ],
)
def test_absurd_numbers_of_a_poscar_are_named(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "POSCAR"
    path.write_text(POSCAR.replace(old, new, 1))
    with pytest.raises(DataError) as caught:
        read_structures(path)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("scale", "lengths"),
    [("2.0", (10, 10, 10)), ("-1000", (10, 10, 10)), ("1 1 2", (5, 5, 10))],
)
def test_scales_of_a_poscar(scale: str, lengths: tuple[float, ...], tmp_path: Path) -> None:
    path = tmp_path / "POSCAR"
    path.write_text(POSCAR.replace("1.0\n", f"{scale}\n"))
    (structure,) = read_structures(path)
    np.testing.assert_allclose(structure.atoms.cell.lengths(), lengths)


def test_elements_of_a_title_must_be_as_many_as_the_counts(tmp_path: Path) -> None:
    path = tmp_path / "POSCAR"
    text = POSCAR.replace("5\nNa Cl\n", "5\n")
    path.write_text(text.replace("salt", "Na Cl"))
    assert "they were taken from its title" in read_structures(path)[0].warnings[0]
    # Otherwise two atoms of boron would be read from the title of boron nitride.
    path.write_text(text.replace("salt", "BN").replace("1 1\n", "2\n"))
    with pytest.raises(DataError, match=r"its title \('BN'\) names 2, but there are 1 counts"):
        read_structures(path)


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("2\n\nC 0 0 0\nC 0.5 0.5 0.5\n", "atoms C 0 and C 1 are 0.87 Å apart, closer than any"),
        ("3\n\nSi 0 0 0\nSi .25 .25 .25\nSi .5 .5 0\n", "closer than any bond, and 2 more pairs"),
        ("2\n\nH 0 0 0\nH 1e5 0 0\n", "the structure reaches over 1e+05 Å; check the units"),
        ("2\n\nH 0 0 0\nH 0.74 0 0\n", None),
        ("3\n\nO 0 0 0\nH 0.96 0 0\nH -.24 .93 0\n", None),
    ],
)
def test_distances_that_matter_does_not_have_are_said(
    text: str, note: str | None, tmp_path: Path
) -> None:
    (tmp_path / "a.xyz").write_text(text)
    (structure,) = read_structures(tmp_path / "a.xyz")
    assert len(structure.warnings) == (note is not None)
    assert note is None or note in structure.warnings[0]


def test_devices_and_pipes_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.cif")
    (tmp_path / "b.xyz").symlink_to("/dev/zero")
    for name in ("a.cif", "b.xyz"):
        with pytest.raises(DataError, match="is a device, a pipe or a socket"):
            read_structures(tmp_path / name)


def test_real_bonds_are_no_mistakes(shared_data: Path) -> None:
    for name in ("phonon_dos/validation.extxyz", "carbon24/validation.extxyz"):
        for structure in read_structures(shared_data / name):
            assert not any("closer than any bond" in note for note in structure.warnings)


def test_slips_of_syntax_are_mended(tmp_path: Path) -> None:
    text = CIF.format(name="salt").replace(
        "_cell_length_a", "_note a b c\n_title 'over\ntwo lines'\n_cell_length_a", 1
    )
    (structure,) = read_structures(save(tmp_path, text + "\n_eof\n"))
    assert structure.reader == "gemmi"
    assert len(structure.atoms) == 8
    assert "not strictly CIF" in structure.warnings[0]
    partial = save(tmp_path, text.replace("0.5 0.5 0.5 1", "0.5 0.5 0.5 0.4"))
    with pytest.raises(DataError, match=r"not fully occupied: Cl1 \(0\.4\)"):
        read_structures(partial)


def test_sites_of_occupancy_zero_are_empty(tmp_path: Path) -> None:
    text = CIF.format(name="salt") + "K1 K 0.25 0.25 0.25 0\n"
    for occupancy in ("refuse", "majority", "full"):
        (structure,) = read_structures(save(tmp_path, text), occupancy=occupancy)  # type: ignore[arg-type]
        assert structure.atoms.get_chemical_formula() == "Cl4Na4"
        assert "1 sites of occupancy 0 left out: K1" in structure.warnings[0]


def test_many_sites_take_no_longer_than_they_must(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    head = (
        CIF.format(name="gas")
        .replace("5.64", "200.0")
        .split("Na1 Na")[0]
        .replace("F m -3 m", "P 1")
    )
    places = rng.permutation(40**3)[:20_000]
    rows = [
        f"C{n} C {x / 40:.5f} {y / 40:.5f} {z / 40:.5f} 1"
        for n, (x, y, z) in enumerate(np.stack(np.unravel_index(places, (40,) * 3), axis=1))
    ]
    path = save(tmp_path, head + "\n".join(rows) + "\n")
    start = time.perf_counter()
    (structure,) = read_structures(path)
    assert len(structure.atoms) == 20_000
    assert time.perf_counter() - start < 20  # comparing all pairs took minutes


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_structures(tmp_path / "gone.cif")
    with pytest.raises(DataError, match="is a folder"):
        read_structures(tmp_path)


def test_real_files(shared_data: Path) -> None:
    files = sorted((shared_data / "cif").glob("*.cif"))
    refused = {}
    for file in files:
        try:
            for structure in read_structures(file, occupancy="majority"):
                assert len(structure.atoms) > 0
        except DataError as error:
            refused[file.name] = str(error)
    # A placeholder cell of 1 Å, and one without any site.
    assert set(refused) == {"dans_diffraction__Cubic.cif", "diffpy__nosites.cif"}
    stripes = shared_data / "cif" / "dans_diffraction__NaCoO2_stripe_supercell.cif"
    # 36 of its sodium sites have the occupancy 0.
    assert read_structures(stripes)[0].atoms.get_chemical_formula() == "Co30Na24O60"


def test_a_cif_needs_no_slow_libraries(tmp_path: Path) -> None:
    path = save(tmp_path, CIF.format(name="salt"))
    code = (
        "import sys; from pathlib import Path\n"
        "from csgnn_dgl.datasets.atoms.structures import read_structures\n"
        f"assert len(read_structures(Path({str(path)!r}))[0].atoms) == 8\n"
        "slow = ('ase.io', 'scipy', 'pandas', 'h5py', 'open3d', 'matplotlib', 'dgl')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
