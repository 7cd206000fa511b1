"""CIFs: symmetry as it is written, content against formula, elements, occupancies and slips."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.datasets.atoms.structure import Occupancy, Structure
from csgnn_dgl.datasets.atoms.structures import read_structures
from csgnn_dgl.errors import DataError

SALT = "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5"
GENERAL = "Si1 Si 0.1 0.2 0.3"
ROCK_SALT = "_symmetry_space_group_name_H-M 'F m -3 m'"


def cif(
    sites: str = SALT,
    symmetry: str = ROCK_SALT,
    *more: str,
    cell: tuple[object, ...] = (5.64, 5.64, 5.64, 90, 90, 90),
    column: str = "",
) -> str:
    """A CIF of one data block; ``column`` is a further column of sites."""
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_x", *(f"_cell_{n} {v}" for n, v in zip(names, cell, strict=True))]
    columns = ["label", "type_symbol", "fract_x", "fract_y", "fract_z", *filter(None, [column])]
    lines += [symmetry, *more, "loop_", *(f"_atom_site_{name}" for name in columns), sites]
    return "\n".join(lines) + "\n"


def operations(*triplets: str) -> str:
    return "\n".join(["loop_", "_space_group_symop_operation_xyz", *(f"'{t}'" for t in triplets)])


def read(folder: Path, text: str, occupancy: Occupancy = "refuse") -> Structure:
    path = folder / "a.cif"
    path.write_text(text)
    (structure,) = read_structures(path, occupancy=occupancy)
    return structure


def refusal(folder: Path, text: str, occupancy: Occupancy = "refuse") -> str:
    path = folder / "a.cif"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_structures(path, occupancy=occupancy)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(f"{path}")


# Symmetry.


def test_operations_that_form_no_group_are_applied_as_written(tmp_path: Path) -> None:
    found = read(tmp_path, cif(GENERAL, operations("x,y,z", "-x,-y,1/2+z", "-y,x,z")))
    places = {tuple(np.round(row, 6).tolist()) for row in found.atoms.get_scaled_positions()}
    assert places == {(0.1, 0.2, 0.3), (0.9, 0.8, 0.8), (0.8, 0.1, 0.3)}
    assert found.warnings == (
        "the 3 symmetry operations form no group; they were applied as written",
    )


def test_a_group_that_is_in_no_table_is_applied_without_a_warning(tmp_path: Path) -> None:
    # A supercell of five cells, with its translations as symmetry.
    fifths = [f"x+{n}/5,y,z" for n in range(5)]
    found = read(tmp_path, cif(GENERAL, operations(*fifths), cell=(15, 5, 5, 90, 90, 90)))
    x = np.sort(found.atoms.get_scaled_positions()[:, 0])
    np.testing.assert_allclose(x, [0.1, 0.3, 0.5, 0.7, 0.9], atol=1e-12)
    assert not found.warnings


def test_a_missing_identity_is_added_and_said(tmp_path: Path) -> None:
    found = read(tmp_path, cif(GENERAL, operations("-x,-y,-z")))
    assert len(found.atoms) == 2
    assert "lack the identity" in found.warnings[0]


@pytest.mark.parametrize(
    "wrong",
    ["hello", "x,y", "x,x,z", "x,y,inf", "nan/4+x,y,z", "x/2,y,z", "1/0+x,y,z", "x,,z", "9" * 500],
)
def test_operations_that_cannot_be_read_are_refused(wrong: str, tmp_path: Path) -> None:
    text = cif(GENERAL, operations("x,y,z", wrong, "-x,-y,-z"))
    message = refusal(tmp_path, text)
    assert "symmetry operation 2" in message
    assert "cannot be read, or is not one of a crystal" in message
    assert len(message) < 250


def test_special_positions_by_operations_of_the_file(tmp_path: Path) -> None:
    text = cif(
        "Si1 Si 0.3333 0.6667 0.2", operations("x,y,z", "-y,x-y,z", "-x+y,-x,z", "x+1/5,y,z")
    )
    found = read(tmp_path, text.replace("5.64\n_cell_angle_alpha", "6.0\n_cell_angle_alpha"))
    assert len(found.atoms) == 2  # on the threefold axis, and its copy
    assert any("form no group" in note for note in found.warnings)


@pytest.mark.parametrize(
    ("cell", "atoms"), [((4, 4, 4, 54.2, 54.2, 54.2), 2), ((3.76, 3.76, 10.5, 90, 90, 120), 6)]
)
def test_a_number_alone_is_a_space_group(
    cell: tuple[float, ...], atoms: int, tmp_path: Path
) -> None:
    z = "As1 As 0.227 0.227 0.227" if atoms == 2 else "As1 As 0 0 0.227"
    found = read(tmp_path, cif(z, "_space_group_IT_number 166", cell=cell))
    assert len(found.atoms) == atoms
    assert "number 166 in its usual setting" in found.warnings[0]
    salt = read(tmp_path, cif(SALT, "_symmetry_Int_Tables_number 225"))
    assert salt.atoms.get_chemical_formula() == "Cl4Na4"


def test_hall_symbols_that_are_in_no_table(tmp_path: Path) -> None:
    # P -1 with its centre at 3/12, 0, 0.
    found = read(tmp_path, cif(GENERAL, "_space_group_name_Hall '-P 1 (3 0 0)'"))
    np.testing.assert_allclose(
        found.atoms.get_scaled_positions(), [[0.1, 0.2, 0.3], [0.4, 0.8, 0.7]], atol=1e-12
    )
    assert not found.warnings
    message = refusal(tmp_path, cif(GENERAL, "_space_group_name_Hall 'Q 7'"))
    assert "the Hall symbol 'Q 7' cannot be read" in message


def test_symmetry_that_does_not_fit_the_cell_is_said(tmp_path: Path) -> None:
    found = read(tmp_path, cif(cell=(5.64, 5.64, 7, 90, 90, 90)))
    assert any("does not fit the cell (5.64, 5.64, 7, 90, 90, 90)" in n for n in found.warnings)
    assert not read(tmp_path, cif(cell=(5.64, 5.64, 5.641, 90, 90, 90))).warnings


def test_operations_that_lack_the_centring_are_said(tmp_path: Path) -> None:
    text = cif(SALT, ROCK_SALT, operations("x,y,z", "-x,-y,-z"))
    note = read(tmp_path, text).warnings[0]
    assert note.startswith("the file gives 2 symmetry operations, but its space group 'F m -3 m'")


SILICON = "_symmetry_space_group_name_H-M 'F d -3 m'"


@pytest.mark.parametrize(
    ("name", "more", "atoms", "note"),
    [
        (SILICON, (), 16, "does not give the choice of origin; 'F d -3 m:2' was assumed"),
        (SILICON, ("_exptl_crystal_density_diffrn 2.33",), 8, "'F d -3 m:1' was taken, because"),
        (
            SILICON,
            ("_chemical_formula_sum Si", "_cell_formula_units_Z 8"),
            8,
            "'F d -3 m:1' was taken, because",
        ),
        (SILICON.replace(" m'", " m :1'"), (), 8, None),
        (SILICON.replace(" m'", " m S'"), (), 8, None),
        (SILICON.replace(" m'", " m Z'"), (), 16, None),
    ],
)
def test_the_choice_of_origin(
    name: str, more: tuple[str, ...], atoms: int, note: str | None, tmp_path: Path
) -> None:
    cell = (5.43, 5.43, 5.43, 90, 90, 90)
    found = read(tmp_path, cif("Si1 Si 0 0 0", name, *more, cell=cell))
    assert len(found.atoms) == atoms
    assert (note is None) == (not found.warnings)
    assert note is None or note in found.warnings[0]


@pytest.mark.parametrize("dot", ["_", "."])
def test_magnetic_structures_are_expanded(dot: str, tmp_path: Path) -> None:
    loops = "\n".join(
        [
            "loop_",
            f"_space_group_symop_magn_operation{dot}xyz",
            "x,y,z,+1",
            "-x,-y,-z,-1",
            "loop_",
            f"_space_group_symop_magn_centering{dot}xyz",
            "x,y,z,+1",
            "x+1/2,y+1/2,z+1/2,-1",
        ]
    )
    found = read(tmp_path, cif("Fe1 Fe 0.1 0.2 0.3", loops))
    assert len(found.atoms) == 4
    assert not found.warnings
    centred = [0.6, 0.7, 0.8]
    assert np.abs(found.atoms.get_scaled_positions() - centred).sum(axis=1).min() < 1e-9


# What else the file says about its content.


@pytest.mark.parametrize(
    ("more", "note"),
    [
        (("_chemical_formula_sum 'Na Cl'", "_cell_formula_units_Z 4"), None),
        (("_chemical_formula_sum 'Na4 Cl4'", "_cell_formula_units_Z 4"), None),
        (("_chemical_formula_sum 'Cl Na'",), None),
        (("_chemical_formula_sum '(Na Cl)n'", "_cell_formula_units_Z 9"), None),
        (("_chemical_formula_sum ?", "_cell_formula_units_Z ?"), None),
        (("_cell_volume 179.4(3)", "_exptl_crystal_density_diffrn 2.16"), None),
        (
            ("_chemical_formula_sum 'Na Cl'", "_cell_formula_units_Z 8"),
            "the formula Na Cl with Z = 8 means Cl8 Na8 in the cell, but its sites make Cl4 Na4",
        ),
        (
            ("_chemical_formula_sum 'Na2 Cl'",),
            "the formula Na2 Cl means Cl2.67 Na5.33 in the cell, but its sites make Cl4 Na4",
        ),
        (
            ("_chemical_formula_sum 'Na Cl H2'", "_cell_formula_units_Z 4"),
            "but its sites make Cl4 Na4; hydrogen atoms are not listed",
        ),
        (
            ("_exptl_crystal_density_diffrn 4.32",),
            "a density of 4.32 g/cm³, but its cell and sites make 2.164",
        ),
        (("_cell_volume 22.16",), "a volume of 22.16 Å³, but its edges and angles make 179.406"),
    ],
)
def test_content_is_compared(more: tuple[str, ...], note: str | None, tmp_path: Path) -> None:
    found = read(tmp_path, cif(SALT, ROCK_SALT, *more))
    assert len(found.atoms) == 8
    assert len(found.warnings) == (note is not None)
    assert note is None or note in found.warnings[0]


def test_multiplicities_are_compared(tmp_path: Path) -> None:
    right = cif("Na1 Na 0 0 0 4\nCl1 Cl .5 .5 .5 4", column="site_symmetry_multiplicity")
    assert not read(tmp_path, right).warnings
    found = read(tmp_path, right.replace("0 0 0 4", "0 0 0 8"))
    assert "other multiplicities than its symmetry makes: Na1: 8, not 4" in found.warnings[0]


def test_formulas_of_partially_occupied_sites_are_rounded(tmp_path: Path) -> None:
    sites = "Na1 Na 0 0 0 0.667\nCl1 Cl .5 .5 .5 1"
    more = ("_chemical_formula_sum 'Na0.67 Cl'", "_cell_formula_units_Z 4")
    found = read(tmp_path, cif(sites, ROCK_SALT, *more, column="occupancy"), "full")
    assert found.warnings == ("partially occupied sites taken as full: Na1 (0.667)",)


# Sites.


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        ("N1 NH4 0 0 0", "site N1 is of no known element (NH4)"),
        ("O1 H2O 0 0 0", "site O1 is of no known element (H2O)"),
        ("M1 Si/Al 0 0 0", "site M1 is of no known element (Si/Al)"),
        ("M1 'Si Al' 0 0 0", "site M1 is of no known element (Si Al)"),
        ("Na1 Na (5) 0 0", "site Na1 has no coordinates, but (5) 0 0"),
        ("Na1 Na 1/3 0 0", "site Na1 has no coordinates, but 1/3 0 0"),
        ("Na1 Na 1e300 0 0", "site Na1 is more than 1e+06 cells away"),
        ("Na1 Na 0 0", "is not a well-formed CIF"),
    ],
)
def test_sites_that_cannot_be_used(sites: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(tmp_path, cif(f"{sites}\nCl1 Cl 0.5 0.5 0.5"))


def test_isotopes_and_ions_are_elements(tmp_path: Path) -> None:
    found = read(tmp_path, cif("D1 D 0 0 0\nT1 T .5 .5 .5\nO1 O2- .25 .25 .25"))
    assert found.atoms.get_chemical_formula() == "H8O8"


def test_elements_of_labels(tmp_path: Path) -> None:
    sites = "HO1 0 0 0\nO1 .5 .5 .5"
    text = cif(sites).replace("_atom_site_type_symbol\n", "")
    found = read(tmp_path, text)
    assert found.atoms.get_chemical_formula() == "Ho4O4"
    assert "no element of HO1; Ho was taken from its label" in found.warnings[0]
    known = text.replace("loop_", "_chemical_formula_sum 'H O'\nloop_", 1)
    assert read(tmp_path, known).atoms.get_chemical_formula() == "H4O4"


def test_unknown_occupancies_taken_as_full_are_said(tmp_path: Path) -> None:
    text = cif("Na1 Na 0 0 0 ?\nCl1 Cl .5 .5 .5 .", column="occupancy")
    assert "not fully occupied: Na1 (unknown)" in refusal(tmp_path, text)
    for occupancy in ("majority", "full"):
        found = read(tmp_path, text, occupancy)  # type: ignore[arg-type]
        assert found.warnings == ("sites of unknown occupancy taken as full: Na1",)
        assert len(found.atoms) == 8


def test_occupancies_above_one_are_said(tmp_path: Path) -> None:
    found = read(tmp_path, cif("Na1 Na 0 0 0 24\nCl1 Cl .5 .5 .5 1", column="occupancy"))
    assert found.warnings == ("occupancies above 1 taken as 1: Na1 (24)",)


def test_dummies_are_left_out_and_disorder_is_said(tmp_path: Path) -> None:
    sites = "Na1 Na 0 0 0 d\nCl1 Cl .5 .5 .5 d\nCg1 X .2 .2 .2 dum"
    found = read(tmp_path, cif(sites, column="calc_flag"))
    assert found.atoms.get_chemical_formula() == "Cl4Na4"
    assert found.warnings == ("dummy sites left out: Cg1",)
    mixed = cif("Cg1 X .2 .2 .2 dum\nNa1 Na ? 0 0 d", column="calc_flag")
    assert "site Na1 has no coordinates, but ? 0 0" in refusal(tmp_path, mixed)
    assert "but dummies" in refusal(tmp_path, cif("Cg1 X .2 .2 .2 dum", column="calc_flag"))
    # Occupancies belong to their rows, also after a dummy.
    columns = "calc_flag\n_atom_site_occupancy"
    rows = "Cg1 X .2 .2 .2 dum 1\nNa1 Na 0 0 0 d ?\nCl1 Cl .5 .5 .5 d 1"
    assert "occupied: Na1 (unknown)." in refusal(tmp_path, cif(rows, column=columns))
    sites = "Na1 Na 0 0 0 1\nNa2 Na .5 0 0 2\nCl1 Cl .5 .5 .5 ."
    text = cif(sites, "_symmetry_space_group_name_H-M 'P 1'", column="disorder_group")
    assert "disorder groups 1, 2, which exclude each other" in read(tmp_path, text).warnings[0]
    assert not read(tmp_path, text.replace("0 0 2", "0 0 1")).warnings


def test_hydrogens_without_coordinates_are_said(tmp_path: Path) -> None:
    sites = "Na1 Na 0 0 0 2\nCl1 Cl .5 .5 .5 0"
    found = read(tmp_path, cif(sites, column="attached_hydrogens"))
    assert "hydrogen atoms that 1 sites carry" in found.warnings[0]


# Cells.


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ((5, 5, 5, 0, 90, 90), "a cell of 5 × 5 × 5 with the angles 0, 90, 90 is a placeholder"),
        ((5, 5, 5, 180, 90, 90), "with the angles 180, 90, 90"),
        ((5, 5, 5, 30, 30, 100), "with the angles 30, 30, 100"),
        ((5, 5, 5, 120, 120, 120), "with the angles 120, 120, 120"),
        ((-5, 5, 5, 90, 90, 90), "a cell of -5 × 5 × 5"),
        ((0.564, 0.564, 0.564, 90, 90, 90), "not in Å"),
        ((5, 5, 3e12, 90, 90, 90), "a periodic cell vector is 3e+12 Å long"),
        ((5, 5, 1e300, 90, 90, 90), "Å long"),
        ((5, 5, "(3)", 90, 90, 90), "a cell of 5 × 5 × (3)"),
    ],
)
def test_impossible_cells_are_refused(
    cell: tuple[object, ...], message: str, tmp_path: Path
) -> None:
    name = "_symmetry_space_group_name_H-M 'P 1'"
    assert message in refusal(tmp_path, cif(SALT, name, cell=cell))


def test_cells_in_picometres_are_said(tmp_path: Path) -> None:
    found = read(tmp_path, cif(cell=(564, 564, 564, 90, 90, 90)))
    assert "no atom has a neighbour within 6 Å; check the units" in found.warnings


# Syntax.


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            cif(SALT, ROCK_SALT, *["_chemical_formula_sum 'Na Cl'"] * 2),
            "_chemical_formula_sum is given twice",
        ),
        (
            cif(SALT, ROCK_SALT, "_chemical_formula_sum", "'Na Cl'", "_chemical_formula_sum 'Na2'"),
            "given twice, as 'Na Cl' and 'Na2', of which the first was used",
        ),
        (cif(SALT, ROCK_SALT, "_x 1", "_x", ";long", "text", ";"), "_x is given twice, as 1 and"),
        (cif(SALT, ROCK_SALT, "_journal", "_other 1"), "_journal has no value"),
        (cif(SALT, ROCK_SALT, "_title a b c"), "values of several words"),
        (cif() + "_eof\n", "_eof has no value"),
    ],
)
def test_slips_are_mended_and_said(text: str, note: str, tmp_path: Path) -> None:
    found = read(tmp_path, text)
    assert found.atoms.get_chemical_formula() == "Cl4Na4"
    assert note in found.warnings[0]
    assert "not strictly CIF" in found.warnings[0]


def test_what_decides_about_the_structure_may_not_be_given_twice(tmp_path: Path) -> None:
    message = refusal(tmp_path, cif(SALT, ROCK_SALT, "_cell_length_a 6.0"))
    assert message == ": _cell_length_a is given twice, as 5.64 and 6.0; remove one"


def test_a_row_that_lacks_a_value_is_not_completed(tmp_path: Path) -> None:
    text = cif("Na1 Na 0 0 0 1\nCl1 Cl .5 .5 .5", column="occupancy")
    assert "A row lacks a value, or has one too many; correct that row" in refusal(tmp_path, text)


def test_data_blocks_of_one_name_are_several_structures(tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    path.write_text(cif() + cif("Si1 Si 0 0 0"))
    found = read_structures(path)
    assert [s.source for s in found] == [f"{path}[x]", f"{path}[x_2]"]
    assert [s.atoms.get_chemical_formula() for s in found] == ["Cl4Na4", "Si4"]
    # Blocks without sites, such as those on the publication, are none.
    path.write_text("data_global\n_x 1\n" + cif())
    assert len(read_structures(path)) == 1


def test_a_site_outside_of_loops_counts_beside_one_in_a_loop(tmp_path: Path) -> None:
    pairs = cif("", "").split("loop_")[0].replace("data_x", "data_y")
    pairs += "\n".join(
        f"_atom_site_{name} {value}"
        for name, value in (
            ("label", "Cu1"),
            ("type_symbol", "Cu"),
            *((f"fract_{axis}", 0) for axis in "xyz"),
        )
    )
    path = tmp_path / "a.cif"
    path.write_text(cif() + pairs + "\n")
    assert [s.atoms.get_chemical_formula() for s in read_structures(path)] == ["Cl4Na4", "Cu"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.cif"
    path.write_bytes(cif(SALT, ROCK_SALT, "_title 'Ångström'").encode(encoding))
    assert len(read_structures(path)[0].atoms) == 8
    path.write_bytes(cif().replace("\n", "\r\n").encode())
    assert len(read_structures(path)[0].atoms) == 8


def test_other_kinds_of_cif_are_named(tmp_path: Path) -> None:
    rows = "loop_\n_atom_site.id\n_atom_site.Cartn_x\n1 0.0\n"
    assert "it is a macromolecular CIF" in refusal(tmp_path, f"data_1ABC\n{rows}")
    rows = "loop_\n_atom_site_label\n_atom_site_Cartn_x\nC1 0.0\n"
    assert "its Cartesian coordinates are not read" in refusal(tmp_path, f"data_1\n{rows}")


def test_compressed_files_and_bombs(tmp_path: Path) -> None:
    path = tmp_path / "a.cif.gz"
    path.write_bytes(gzip.compress(cif().encode()))
    assert len(read_structures(path)[0].atoms) == 8
    path.write_bytes(gzip.compress(cif().encode() + b" " * (70 << 20)))
    with pytest.raises(DataError, match="expands to more than 64 MiB, over 50 times its size"):
        read_structures(path)
    path.write_bytes(gzip.compress(cif().encode())[:-30])
    with pytest.raises(DataError, match="cannot be read: Compressed file ended"):
        read_structures(path)


# Real files.


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("si_pristine", "Si8"),
        ("si_op_5", "Si8"),
        ("si_op_garbage", "symmetry operation 24, 'hello'"),
        ("si_op_two", "symmetry operation 24, 'x,y'"),
        ("si_op_inf", "symmetry operation 24"),
        ("si_op_nan", "symmetry operation 24"),
        ("si_op_singular", "symmetry operation 24, 'x,x,z'"),
        ("carb_pristine", "C12Ca3Mg9O36"),
        ("carb_row_lacks_occupancy", "A row lacks a value"),
        ("cell_c_400000", "Co2"),
        ("cell_c_1e12", "a periodic cell vector is 1e+12 Å long"),
    ],
)
def test_damaged_files(name: str, formula: str, shared_data: Path) -> None:
    path = shared_data / "damaged" / f"{name}.cif"
    if formula[0].islower() or " " in formula:
        with pytest.raises(DataError) as caught:
            read_structures(path)
        assert formula in str(caught.value)
        return
    (structure,) = read_structures(path)
    assert structure.atoms.get_chemical_formula() == formula
    assert bool(structure.warnings) != name.endswith("pristine")


def test_contents_of_real_files_agree(shared_data: Path) -> None:
    disagreeing = []
    for file in sorted((shared_data / "cif").glob("*.cif")):
        try:
            (structure, *_) = read_structures(file, occupancy="majority")
        except DataError:
            continue
        if any(" but its " in note for note in structure.warnings):
            disagreeing.append(file.name)
    # Its formula is that of the crystal without the defect.
    assert disagreeing == ["abipy__cifs__NV_center_64_at_sc.cif"]
