"""Results of VASP: reading, importing, and what is wrong with some."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.datasets.atoms.vasp import find_runs, read_run
from csgnn_dgl.datasets.atoms.vasp_import import energy_window, import_vasp
from csgnn_dgl.errors import ConfigError, DataError, ResourceError

ENERGIES = np.linspace(-10.0, 5.0, 301)
STEP = 0.05
FERMI = 1.0
# Eight electrons below the Fermi level, four states above.
DOS = 8 * np.exp(-((ENERGIES + 4) ** 2) / 0.5) / np.sqrt(0.5 * np.pi) + 4 * np.exp(
    -((ENERGIES - 3) ** 2) / 0.08
) / np.sqrt(0.08 * np.pi)
SILICON = bulk("Si", a=5.43)


def doscar(spins: int = 1, projected: int = 0, scale: float = 1.0, first: str = "") -> str:
    """The text of a DOSCAR of two atoms; ``projected`` is the number of columns per atom."""
    dos = np.round(DOS * scale, 6)
    states = np.cumsum(dos) * STEP
    header = f"   2   2   1   0\n a\n b\n CAR\n silicon\n{5.0:16.8f}{-10.0:16.8f}  301{FERMI:16.8f}"
    lines = [f"{header}{1.0:16.8f}"]
    for index, energy in enumerate(ENERGIES):
        values = [dos[index] / spins] * spins + [states[index] / spins] * spins
        words = [f"{value:.4E}" for value in values]
        if first and index == 0:
            words[0] = first
        lines.append(f"{energy:11.3f} " + " ".join(words))
    for _ in range(2 if projected else 0):
        lines.append(lines[0].splitlines()[-1])
        for energy, value in zip(ENERGIES, dos, strict=True):
            share = f"{value / 2 / projected:.6E}"
            lines.append(f"{energy:11.3f} " + " ".join([share] * projected))
    return "\n".join(lines) + "\n"


def vasprun(spins: int = 1, efermi: str = "1.0", rows: str = "") -> str:
    """The text of a small vasprun.xml of two atoms."""
    states = np.cumsum(DOS) * STEP
    sets = ""
    for spin in range(spins):
        lines = rows or "".join(
            f"<r> {e:.4f} {g / spins:.4f} {i / spins:.4f} </r>\n"
            for e, g, i in zip(ENERGIES, DOS, states, strict=True)
        )
        sets += f'<set comment="spin {spin + 1}">{lines}</set>'
    vectors = "".join(f"<v>{a} {b} {c}</v>" for a, b, c in SILICON.cell.array)
    places = "".join(f"<v>{a} {b} {c}</v>" for a, b, c in SILICON.get_scaled_positions())
    structure = (
        f'<structure><crystal><varray name="basis">{vectors}</varray></crystal>'
        f'<varray name="positions">{places}</varray></structure>'
    )
    initial = structure.replace("<structure>", '<structure name="initialpos">')
    atoms = "<rc><c>Si</c><c>1</c></rc>" * 2
    names = ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    energy = "".join(f'<i name="{name}">-1.0</i>' for name in names)
    energy = f"<energy>{energy}</energy>"
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>'
        '<kpoints><varray name="kpointlist"><v>0 0 0</v></varray>'
        '<varray name="weights"><v>1</v></varray></kpoints>'
        '<parameters><separator name="electronic">'
        '<i name="NELECT"> 8.0</i></separator></parameters>'
        f'<atominfo><atoms>2</atoms><array name="atoms"><set>{atoms}</set></array></atominfo>'
        f"{initial}<calculation><scstep>{energy}</scstep>{structure}{energy}"
        f'<dos><i name="efermi"> {efermi} </i><total><array><set>{sets}</set></array></total></dos>'
        "</calculation></modeling>\n"
    )


def _doscar_folder(place: Path, text: str, poscar: bool = True) -> Path:
    place.mkdir(parents=True)
    if poscar:
        ase.io.write(place / "POSCAR", SILICON, format="vasp")
    (place / "DOSCAR").write_text(text)
    return place


def _xml_folder(place: Path, text: str) -> Path:
    place.mkdir(parents=True)
    with gzip.open(place / "vasprun.xml.gz", "wt") as file:
        file.write(text)
    return place


# Reading.


@pytest.mark.parametrize("spins", [1, 2])
def test_both_formats_say_the_same(spins: int, tmp_path: Path) -> None:
    _doscar_folder(tmp_path / "d", doscar(spins))
    _xml_folder(tmp_path / "x", vasprun(spins))
    (tmp_path / "d" / "OUTCAR").write_text("   NELECT =       8.0000    total\n")
    for name in ("d", "x"):
        run = read_run(find_runs(tmp_path / name)[0])
        assert run.electrons == 8.0
        assert run.fermi_level == 1.0
        np.testing.assert_allclose(run.dos, DOS, atol=3e-3)
        # VASP prints the upper ends of the intervals over which it averages.
        np.testing.assert_allclose(run.grid.energies, ENERGIES - STEP / 2, atol=1e-9)
        assert run.below == 0
        np.testing.assert_allclose(run.atoms.positions, SILICON.positions, atol=1e-8)
        assert run.pdos is None


@pytest.mark.parametrize(
    ("spins", "columns", "factor"), [(1, 3, 1), (1, 9, 1), (2, 18, 1), (1, 12, 0.25), (1, 36, 0.25)]
)
def test_projected_curves(spins: int, columns: int, factor: float, tmp_path: Path) -> None:
    _doscar_folder(tmp_path / "d", doscar(spins, columns))
    run = read_run(tmp_path / "d" / "DOSCAR")
    assert run.pdos is not None
    np.testing.assert_allclose(run.pdos, [DOS / 2 * factor] * 2, atol=1e-4)


def test_what_projected_curves_are_left_out(tmp_path: Path) -> None:
    _doscar_folder(tmp_path / "a", doscar(1, 16))
    run = read_run(tmp_path / "a" / "DOSCAR")
    assert run.pdos is None
    assert "16 columns were left out" in run.notes[0]
    lines = doscar(1, 3).splitlines()
    _doscar_folder(tmp_path / "b", "\n".join(lines[:500]) + "\n")
    run = read_run(tmp_path / "b" / "DOSCAR")
    assert "missing for some atoms" in run.notes[0]


def test_fields_without_space(tmp_path: Path) -> None:
    text = doscar().replace("  301", "00301")
    assert "-10.0000000000301" in text
    folder = _doscar_folder(tmp_path / "d", text)
    assert read_run(folder / "DOSCAR").grid.size == 301


def test_a_structure_that_moved(tmp_path: Path) -> None:
    folder = _doscar_folder(tmp_path / "d", doscar())
    moved = SILICON.copy()
    moved.positions[1] += 0.05
    ase.io.write(folder / "CONTCAR", moved, format="vasp")
    run = read_run(folder / "DOSCAR")
    np.testing.assert_allclose(run.atoms.positions, moved.positions)
    assert "that of CONTCAR" in run.notes[0]


def _line(text: str, number: int, new: str | None) -> str:
    lines = text.splitlines()
    lines[number - 1 : number] = [] if new is None else [new]
    return "\n".join(lines) + "\n"


DAMAGED: list[tuple[Callable[[Path], Path], str]] = [
    (
        lambda p: _doscar_folder(p, doscar()[:4000]),
        "has 3 numbers|numbers, the first row|of 301 rows",
    ),
    (lambda p: _doscar_folder(p, _line(doscar(), 307, None)), "ends after 300 of 301 rows"),
    (lambda p: _doscar_folder(p, doscar(first="nan")), "row 1 of the density of states is nan"),
    (
        lambda p: _doscar_folder(p, doscar(first="*****")),
        r"line 7: '\*\*\*\*\*' is not a number: Fortran",
    ),
    (lambda p: _doscar_folder(p, doscar(first="high")), "line 7: 'high' is not a number"),
    (lambda p: _doscar_folder(p, doscar(), poscar=False), "there is no POSCAR beside DOSCAR"),
    (lambda p: _doscar_folder(p, "3" + doscar()[4:]), "is of 3 atoms, but the structure .* has 2"),
    (lambda p: _doscar_folder(p, "x" + doscar()[4:]), "line 1 should begin with the number"),
    (
        lambda p: _doscar_folder(p, _line(doscar(), 6, "a b c d")),
        "line 6: 'a' is not a number",
    ),
    (lambda p: _doscar_folder(p, _line(doscar(), 6, "1 2 3 4")), "line 6 gives no energies"),
    (
        lambda p: _doscar_folder(p, _line(doscar(), 6, "9.0 -10.0 301 1.0 1.0")),
        "line 6 says -10 … 9 eV, but the rows go from -10 to 5 eV",
    ),
    (lambda p: _doscar_folder(p, ""), r"DOSCAR is empty \(0 bytes\)"),
    (lambda p: _doscar_folder(p, "2\n"), "has 1 lines; it is not a DOSCAR"),
    (lambda p: _xml_folder(p, vasprun()[:3000]), "is not whole XML .* did the calculation finish"),
    (lambda p: _xml_folder(p, "<modeling></modeling>"), "holds no density of states"),
    (lambda p: _xml_folder(p, vasprun(efermi="nan")), "the Fermi level is nan"),
    (lambda p: _xml_folder(p, vasprun(rows="<r>1 2 3</r><r>1 2</r>")), "differ in length"),
    (lambda p: _xml_folder(p, vasprun(rows="<r>1 2 3</r>")), "too few or too short"),
    (
        lambda p: _xml_folder(p, vasprun(rows="<r>1 ** 3</r><r>2 2 3</r>")),
        "'\\*\\*' is not a number: Fortran",
    ),
    (
        lambda p: _xml_folder(p, vasprun(rows="<r>1 1 3</r><r>2 1 3</r><r>4 1 3</r>")),
        "do not ascend in even steps",
    ),
]


@pytest.mark.parametrize(("make", "message"), DAMAGED)
def test_damaged_results(make: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    bad = make(tmp_path / "bad")
    good = _doscar_folder(tmp_path / "good", doscar(first="1.0-103"))
    with pytest.raises(DataError, match=message):
        read_run(find_runs(bad)[0])
    done = import_vasp([bad, good], tmp_path / "out")
    assert done.imported == (str(good),)
    assert [entry.name for entry in done.rejected] == [str(bad)]
    with pytest.raises(DataError, match=message):
        import_vasp([bad, good], tmp_path / "strict", strict=True)
    with pytest.raises(DataError, match="none of the 1 calculations can be used"):
        import_vasp([bad], tmp_path / "none")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad", "good", "out"]


# Importing.


def test_what_is_imported_is_read(tmp_path: Path) -> None:
    _doscar_folder(tmp_path / "runs" / "a", doscar(1, 9))
    _xml_folder(tmp_path / "runs" / "b", vasprun())
    # A run named twice is imported once.
    done = import_vasp([tmp_path / "runs", tmp_path / "runs" / "a"], tmp_path / "out")
    assert len(done.imported) == 2
    assert any("no NELECT found; 8.00 electrons" in note for note in done.notes)
    found = load_dos_dataset(tmp_path / "out")
    assert (found.grid.zero, found.grid.unit, found.grid.size) == ("Fermi level", "eV", 301)
    assert found.grid.start == pytest.approx(-11.025)
    for record in found.train:
        assert record.electrons == pytest.approx(4.0, abs=1e-3)
        assert record.fermi_level == 0.0
        np.testing.assert_allclose(record.dos, DOS / 2, atol=2e-3)
    curves = found.train[0].atom_dos
    assert curves is not None
    assert curves.dtype == np.float32
    np.testing.assert_allclose(curves.mean(axis=0), found.train[0].dos, atol=1e-3)
    assert "pdos" not in found.train[0].atoms.arrays
    assert not found.rejected


def test_energies_as_given(tmp_path: Path) -> None:
    _doscar_folder(tmp_path / "a", doscar())
    import_vasp([tmp_path / "a"], tmp_path / "out", zero="as-given")
    found = load_dos_dataset(tmp_path / "out")
    assert "VASP's own zero" in found.grid.zero
    assert found.grid.start == pytest.approx(-10.025)
    assert found.train[0].fermi_level == 1.0


@pytest.mark.parametrize("width", [0.0, 0.1])
def test_states_are_kept_on_other_energies(width: float, tmp_path: Path) -> None:
    _doscar_folder(tmp_path / "a", doscar())
    import_vasp(
        [tmp_path / "a"], tmp_path / "out", window=energy_window(-12.0, 3.6, 0.3), width=width
    )
    record = load_dos_dataset(tmp_path / "out").train[0]
    assert record.dos[0] == 0.0
    assert np.sum(record.dos) * 0.3 == pytest.approx(6.0, abs=2e-3)
    centres = -12.0 + 0.3 * np.arange(53)
    mean = np.sum(record.dos[:30] * centres[:30]) / np.sum(record.dos[:30])
    assert mean == pytest.approx(-5.0, abs=0.03)


def test_energies_beyond_are_undefined(tmp_path: Path) -> None:
    _doscar_folder(tmp_path / "a", doscar())
    done = import_vasp([tmp_path / "a"], tmp_path / "out", window=energy_window(-5, 6, 0.1))
    record = load_dos_dataset(tmp_path / "out").train[0]
    assert np.isnan(record.dos[-20:]).all()
    assert np.isfinite(record.dos[:90]).all()
    assert any("lie outside its own; nan there" in note for note in done.notes)
    # The lower half of the electrons lies below the window, which begins at their centre.
    assert record.electrons == pytest.approx(2.0, abs=0.3)
    assert any("electrons lie below the first energy" in note for note in done.notes)


def test_energies_that_differ_are_refused_by_name(tmp_path: Path) -> None:
    _doscar_folder(tmp_path / "a", doscar())
    _xml_folder(tmp_path / "b", vasprun(efermi="1.5"))
    with pytest.raises(DataError, match=r"energies differ: .*a has 301 .*b has 301 .*--start"):
        import_vasp([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    window = energy_window(-10, 2, 0.1)
    import_vasp([tmp_path / "a", tmp_path / "b"], tmp_path / "out", window=window)
    assert len(load_dos_dataset(tmp_path / "out").train) == 2


def test_folders_that_exist_are_kept(tmp_path: Path) -> None:
    folder = _doscar_folder(tmp_path / "a", doscar())
    (tmp_path / "out").mkdir()
    import_vasp([folder], tmp_path / "out")
    before = (tmp_path / "out" / "train.extxyz").read_bytes()
    with pytest.raises(DataError, match="out exists already; remove it, or name another"):
        import_vasp([folder], tmp_path / "out")
    assert (tmp_path / "out" / "train.extxyz").read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot write"):
        import_vasp([folder], tmp_path / "file" / "out")
    if os.geteuid() != 0:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(ResourceError, match="permission denied"):
            import_vasp([folder], tmp_path / "closed" / "out")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0.0, 1.0, None), "all three are needed"),
        ((1.0, 0.0, 0.1), "there are no energies from"),
        ((0.0, 1.0, 0.3), "choose the ends so that the number is whole"),
        ((0.0, 1.0, float("nan")), "there are no energies from"),
    ],
)
def test_windows_are_checked(
    given: tuple[float | None, float | None, float | None], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        energy_window(*given)


def test_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'fermi'"):
        import_vasp([tmp_path], tmp_path / "out", zero="fermy")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="the width of the broadening is -1"):
        import_vasp([tmp_path], tmp_path / "out", width=-1)


def test_places_without_results(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("")
    for path, message in (
        (tmp_path / "gone", "does not exist"),
        (tmp_path / "a.txt", "neither a vasprun.xml nor a DOSCAR"),
        (tmp_path, "holds no vasprun"),
    ):
        with pytest.raises(DataError, match=message):
            find_runs(path)


def test_real_results(shared_data: Path, tmp_path: Path) -> None:
    done = import_vasp(
        [shared_data / "vasp" / name for name in ("AlN", "Ge", "MgO")],
        tmp_path / "out",
        window=energy_window(-20.0, 5.0, 0.1),
        width=0.2,
    )
    assert len(done.imported) == 3
    found = load_dos_dataset(tmp_path / "out")
    assert [round(r.electrons or 0, 3) for r in found.train] == [4, 4, 4]
    assert [len(r.atoms) for r in found.train] == [4, 2, 8]
    assert [r.atom_dos is not None for r in found.train] == [True, False, True]
