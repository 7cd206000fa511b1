"""Fermi levels, electrons and gaps of imported curves; files that mislead or attack a reader."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from csgnn_dgl.datasets.atoms.dos import DOSRecord
from csgnn_dgl.datasets.atoms.loading import load_dos_dataset
from csgnn_dgl.datasets.atoms.vasp import read_run
from csgnn_dgl.datasets.atoms.vasp_import import energy_window, import_vasp
from csgnn_dgl.errors import DataError
from csgnn_dgl.physics import EnergyGrid, find_levels, states_below

CRYSTAL = bulk("NaCl", "rocksalt", a=5.6)
# Boxes of states: lower end, upper end [eV], states. Like a halide perovskite: a band at −15 eV, a
# wide valence band with its top at 0, and a conduction band from 3.4 eV on.
BANDS = ((-15.6, -14.4, 6.0), (-5.0, 0.0, 20.0), (3.4, 6.0, 8.0))
ELECTRONS = 26.0
# Fermi level of such a curve, from the file's own, which lies 0.02 eV above the valence band.
MIDDLE = 3.4 / 2 - 0.02


def states(energies: np.ndarray, bands: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    return np.asarray(sum(n * np.clip((energies - a) / (b - a), 0, 1) for a, b, n in bands))


def vasprun(
    start: float = -20.0,
    stop: float = 8.0,
    size: int = 2801,
    fermi: float = 0.02,
    electrons: float = ELECTRONS,
    eigenvalues: str = "",
    bands: tuple[tuple[float, float, float], ...] = BANDS,
    before: str = "",
    after: str = "",
    partial: str = "",
    head: str = '<?xml version="1.0" encoding="ISO-8859-1"?>',
    spins: int = 1,
) -> str:
    """A vasprun.xml with VASP's definition: a value is the mean over the interval that ends there,
    and the first row holds all states below."""
    energies = np.linspace(start, stop, size)
    integral = states(energies, bands)
    dos = np.diff(integral, prepend=0.0) / (energies[1] - energies[0])
    rows = "".join(
        f"<r> {e:.4f} {g / spins:.6f} {i / spins:.6f} </r>\n"
        for e, g, i in zip(energies, dos, integral, strict=True)
    )
    sets = "".join(f'<set comment="spin {spin + 1}">{rows}</set>' for spin in range(spins))
    atoms = "".join(f"<rc><c>{symbol}</c><c>1</c></rc>" for symbol in CRYSTAL.symbols)
    return (
        f"{head}\n<modeling>"
        '<kpoints><varray name="weights"><v>0.25</v><v>0.75</v></varray></kpoints>'
        f'<parameters><i name="NELECT"> {electrons} </i></parameters>'
        f'<atominfo><array name="atoms"><set>{atoms}</set></array></atominfo>'
        f"{before}<calculation>{structure(0.0)}{eigenvalues}"
        f'<dos><i name="efermi"> {fermi} </i><total><array><set>{sets}</set></array></total>'
        f"{partial}</dos></calculation>{after}</modeling>\n"
    )


def structure(shift: float) -> str:
    vectors = "".join(f"<v>{a} {b} {c}</v>" for a, b, c in CRYSTAL.cell.array)
    places = "".join(f"<v>{a} {b} {c + shift}</v>" for a, b, c in CRYSTAL.get_scaled_positions())
    return (
        f'<structure><crystal><varray name="basis">{vectors}</varray></crystal>'
        f'<varray name="positions">{places}</varray></structure>'
    )


def eigenvalues(*points: list[tuple[float, float]]) -> str:
    sets = "".join(
        "<set>" + "".join(f"<r> {e} {occ} </r>" for e, occ in point) + "</set>" for point in points
    )
    return f"<eigenvalues><array><set><set>{sets}</set></set></array></eigenvalues>"


def write(folder: Path, text: str | bytes) -> Path:
    folder.mkdir(parents=True)
    (folder / "vasprun.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def imported(tmp_path: Path, text: str, window: EnergyGrid | None = None) -> tuple[DOSRecord, ...]:
    done = import_vasp([write(tmp_path / "run", text)], tmp_path / "out", window=window)
    found = load_dos_dataset(tmp_path / "out")
    assert not found.rejected
    assert not any("differs from that of the curve" in text for text in found.warnings)
    return (found.train[0], found.grid, done.notes)  # type: ignore[return-value]


# Levels.


@pytest.mark.parametrize(
    ("start", "step"),
    [(-20.0, 0.1), (-15.0, 0.1), (-15.0, 0.05), (-14.77, 0.07), (-3.0, 0.1), (-10.0, 0.1)],
)
def test_a_window_that_cuts_a_band_keeps_the_fermi_level(
    start: float, step: float, tmp_path: Path
) -> None:
    window = energy_window(start, start + step * round((5 - start) / step), step)
    record, grid, _ = imported(tmp_path, vasprun(), window)
    edge = start - step / 2
    below = float(states(np.array([edge + 0.02]), BANDS)[0])
    assert record.electrons == pytest.approx((ELECTRONS - below) / 2, abs=1e-3)
    # The file's level, 0.02 eV above the valence band, is the zero.
    assert record.fermi_level == 0.0
    assert states_below(record.dos, grid, 1.0) == pytest.approx(record.electrons, abs=1e-6)
    found = find_levels(record.dos, grid, record.electrons)
    assert found.fermi_level == pytest.approx(MIDDLE, abs=step)
    assert found.gap == pytest.approx(3.4, abs=2 * step)
    if start in (-15.0, -3.0):
        # The paper's integral leaves out half of the first bin, so the level crosses the gap.
        wrong = find_levels(record.dos, grid, record.electrons, definition="paper")
        assert wrong.fermi_level > 3.2


def test_energies_of_the_file_keep_the_fermi_level(tmp_path: Path) -> None:
    record, grid, notes = imported(tmp_path, vasprun())
    assert notes == ()
    assert (grid.size, record.electrons) == (2801, ELECTRONS / 2)
    assert find_levels(record.dos, grid, record.electrons).fermi_level == pytest.approx(
        MIDDLE, abs=0.01
    )


def test_energies_of_the_file_that_cut_a_band(tmp_path: Path) -> None:
    # EMIN lies within the lowest band; VASP adds all states below to the first row.
    record, grid, notes = imported(tmp_path, vasprun(start=-15.0, size=2301))
    assert "its first row holds all 3.00 states up to -15.00 eV, and was left out" in notes[0]
    assert grid.size == 2300
    assert record.electrons == pytest.approx((ELECTRONS - 3) / 2, abs=1e-3)
    assert record.dos.max() < 4  # no spike in the first bin
    found = find_levels(record.dos, grid, record.electrons)
    assert found.fermi_level == pytest.approx(MIDDLE, abs=0.02)


def test_where_the_states_below_lie_is_not_guessed(tmp_path: Path) -> None:
    record, _, notes = imported(
        tmp_path, vasprun(start=-4.0, size=1201), energy_window(-10, 5, 0.1)
    )
    assert record.electrons is None
    assert np.isnan(record.dos[:60]).all()
    assert any("lie somewhere below its energies" in note for note in notes)


@pytest.mark.parametrize(
    ("electrons", "filled"),
    [(26.0, 26.0), (26.05, 26.0), (25.95, 25.95), (20.0, 26.0), (30.0, 26.0), (99.0, 26.0)],
)
def test_the_files_fermi_level_is_kept_and_compared(
    electrons: float, filled: float, tmp_path: Path
) -> None:
    record, grid, notes = imported(
        tmp_path, vasprun(electrons=electrons), energy_window(-20, 6, 0.1)
    )
    assert record.fermi_level == 0.0
    assert record.electrons == pytest.approx(filled / 2, abs=1e-3)
    level = find_levels(record.dos, grid, record.electrons).fermi_level
    # With so few electrons, it lies at the end of the band.
    assert level == pytest.approx(0 if filled < 26 else MIDDLE, abs=0.1)
    said = [note for note in notes if "the file's Fermi level was kept" in note]
    assert bool(said) == (abs(electrons - 26) > 1)
    if electrons == 30:
        assert "NELECT is 30, but its curve holds 26.00 states up to its Fermi level" in said[0]
        assert "NELECT only at 4.68" in said[0]
    if electrons == 99:
        assert "NELECT nowhere among its energies" in said[0]


def test_a_fermi_level_outside_the_energies(tmp_path: Path) -> None:
    record, _, notes = imported(tmp_path, vasprun(fermi=12.0), energy_window(-30, -8, 0.1))
    assert record.electrons is None
    assert "its Fermi level, 0.000 eV, lies outside its energies" in notes[0]


def test_other_files_levels_are_compared(tmp_path: Path) -> None:
    atoms = CRYSTAL.copy()
    curve = np.diff(states(np.arange(-20.05, 8.0, 0.1), BANDS)) / 0.1 / 2
    (tmp_path / "grid.json").write_text(
        f'{{"quantity": "electronic", "start": -20, "step": 0.1, "size": {len(curve)}, '
        '"unit": "eV", "zero": "vacuum level", "dos_unit": "states/eV/atom"}'
    )
    for name, level in (("right", 0.0), ("in the gap", 2.0), ("wrong", -3.0), ("higher", 4.5)):
        atoms.info = {"dos": curve, "name": name, "fermi_level": level, "electrons": ELECTRONS}
        ase.io.write(tmp_path / "train.extxyz", atoms, append=True)
    found = load_dos_dataset(tmp_path)
    said = [text for text in found.warnings if "differs from that of the curve" in text]
    assert len(said) == 1
    assert "(wrong): -3.000 in the file, 1.70" in said[0]
    assert "(higher): 4.500 in the file, 1.70" in said[0]
    assert "right" not in said[0]
    assert [record.fermi_level for record in found.train + found.test] == [0.0, 2.0, -3.0, 4.5]


def test_the_gap_is_that_of_the_eigenvalues(tmp_path: Path) -> None:
    # The conduction band begins at one point of few states: the curve hardly shows it.
    points = eigenvalues(
        [(-5.0, 1.0), (0.0, 1.0), (2.1, 0.0)], [(-5.5, 1.0), (-0.5, 1.0), (5.0, 0.0)]
    )
    record, grid, _ = imported(tmp_path, vasprun(eigenvalues=points))
    assert record.gap == pytest.approx(2.1)
    assert find_levels(record.dos, grid, record.electrons).gap == pytest.approx(3.4, abs=0.05)
    assert "dos_gap" not in ase.io.read(tmp_path / "out" / "train.extxyz").info  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("points", "gap"),
    [
        # Bands that overlap, a band filled in part, no empty band, and other shapes.
        (([(0.0, 1.0), (1.0, 0.0)], [(2.0, 1.0), (3.0, 0.0)]), 0.0),
        (([(0.0, 1.0), (1.0, 0.4)], [(0.0, 1.0), (1.0, 0.4)]), 0.0),
        (([(0.0, 1.0)], [(0.5, 1.0)]), None),
        (([(0.0, 1.0), (1.0, 0.0)], [(2.0, 1.0)]), None),
        (([(0.0, 1.0), (1.0, 0.0)],), None),
        (([("a", 1.0), (1.0, 0.0)], [(2.0, 1.0), (3.0, 0.0)]), None),
        (([("nan", 1.0), (1.0, 0.0)], [(2.0, 1.0), (3.0, 0.0)]), None),
    ],
)
def test_gaps_of_metals_and_of_what_is_damaged(
    points: tuple[list[tuple[float, float]], ...], gap: float | None, tmp_path: Path
) -> None:
    folder = write(tmp_path / "a", vasprun(eigenvalues=eigenvalues(*points)))
    assert read_run(folder / "vasprun.xml").gap == gap
    import_vasp([folder], tmp_path / "out")
    info = ase.io.read(tmp_path / "out" / "train.extxyz").info  # type: ignore[union-attr]
    # The name says that it is the gap of the curve.
    assert ("dos_gap" in info) == (gap is None)
    if gap is None:
        assert info["dos_gap"] == pytest.approx(3.4, abs=0.02)


def test_the_step_with_the_density_of_states(tmp_path: Path) -> None:
    other = f"<calculation>{structure(0.1)}</calculation>"
    folder = write(tmp_path / "a", vasprun(before=other, after=other))
    run = read_run(folder / "vasprun.xml")
    places = run.atoms.get_scaled_positions()
    np.testing.assert_allclose(places, CRYSTAL.get_scaled_positions(), atol=1e-9)
    assert "that of step 2 of 3, and so is the structure" in run.notes[0]


def test_broadening_does_not_reach_beyond_the_energies(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", vasprun(stop=5.0, size=2501))
    window = energy_window(-20, 4.9, 0.1)
    done = import_vasp([folder], tmp_path / "out", window=window, width=0.2)
    record = load_dos_dataset(tmp_path / "out").train[0]
    # Within three widths of the end, states beyond it are missing.
    assert np.isnan(record.dos[-5:]).all()
    assert np.isfinite(record.dos[:-7]).all()
    assert any("within 0.6 eV of their ends" in note for note in done.notes)


# Files that are damaged, or attack.


def _ions(*sizes: int) -> str:
    row = "<r> 0.0 1.0 1.0 </r>"
    ions = "".join(f"<set>{f'<set>{row * size}</set>' if size else ''}</set>" for size in sizes)
    return f"<partial><array><set>{ions}</set></array></partial>"


@pytest.mark.parametrize("sizes", [(5, 5), (0, 0), (2801, 0), (2801,), (2801, 2801)])
def test_projections_that_do_not_fit_are_left_out(sizes: tuple[int, ...], tmp_path: Path) -> None:
    run = read_run(write(tmp_path / "a", vasprun(partial=_ions(*sizes))) / "vasprun.xml")
    assert run.pdos is None
    assert "do not match the atoms or the energies" in run.notes[0]


_BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (vasprun(head='<?xml version="1.0" encoding="klingon"?>'), "unknown encoding|cannot be"),
        (vasprun(head=f'<?xml version="1.0"?>{_BOMB}]>'), "has a document type"),
        (vasprun(head='<!DOCTYPE a SYSTEM "file:///etc/passwd">'), "has a document type"),
        (vasprun()[:-5000], "is not whole XML"),
        (vasprun(spins=3), "has 3 total densities of states"),
        (vasprun(spins=2).replace("<r> 8.0000", "<q> 8.0000", 1), "is not whole XML"),
        (vasprun().replace("<c>Na</c>", "<c>\x7fQq</c>"), r"'\\x7fQq' is not an element"),
        (vasprun().replace("<c>Na</c>", "<c></c>"), "'' is not an element"),
        (vasprun().replace("<rc>", "<rd>").replace("</rc>", "</rd>"), "0 rows of 3 numbers"),
        (vasprun().replace("<v>0.0 0.0 0.0</v>", "<v>0 0</v>"), "should have 2 rows of 3"),
        (vasprun().replace("<v>0.0 0.0 0.0</v>", "<v>0 0 x</v>"), "'x' is not a number"),
        (vasprun().replace("<v>0.0 0.0 0.0</v>", "<v>0 0 inf</v>"), "NaN or infinite coordinates"),
        (vasprun().replace("<v>0.0 0.0 0.0</v>", "<v>0.5 0.5 0.5</v>"), "apart"),
        (vasprun().replace("<dos>", "<dos ").replace("</dos>", ""), "is not whole XML"),
        (vasprun().replace('<i name="efermi"> 0.02 </i>', ""), "the Fermi level is nan"),
        (vasprun().replace("26.0 </i>", "1.2.3 </i>"), r"NELECT: '1\.2\.3' is not a number"),
        ("\x00" * 100, "is not whole XML"),
    ],
)
def test_one_bad_file_does_not_stop_the_others(text: str, message: str, tmp_path: Path) -> None:
    bad = write(tmp_path / "runs" / "bad", text)
    write(tmp_path / "runs" / "good", vasprun())
    done = import_vasp([tmp_path / "runs"], tmp_path / "out")
    assert done.imported == (str(tmp_path / "runs" / "good"),)
    assert [entry.name for entry in done.rejected] == [str(bad)]
    with pytest.raises(DataError, match=message):
        import_vasp([bad], tmp_path / "strict", strict=True)
    assert all(len(entry.reason) < 600 for entry in done.rejected)
    assert "\n" not in done.rejected[0].reason


def test_two_spins_of_other_energies_or_lengths(tmp_path: Path) -> None:
    text = vasprun(spins=2)
    last = text.rindex("<r>")
    shorter = text[:last] + text[text.index("</r>", last) + 4 :]
    with pytest.raises(DataError, match="has 2 total densities of states, of 2801, 2800 rows"):
        read_run(write(tmp_path / "a", shorter) / "vasprun.xml")
    other = text[:last] + text[last:].replace("8.0000", "8.5000", 1)
    with pytest.raises(DataError, match="the two spins have different energies"):
        read_run(write(tmp_path / "b", other) / "vasprun.xml")
    run = read_run(write(tmp_path / "c", text) / "vasprun.xml")
    assert run.dos.sum() * run.grid.step == pytest.approx(34, abs=1e-3)


def test_packed_files_that_are_bombs_or_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csgnn_dgl._foreign._SMALL", 10**6)
    for name, content, message in (
        ("bomb", gzip.compress(b" " * 3 * 10**6), "expands to more than"),
        ("cut", gzip.compress(vasprun().encode())[:-500], "cannot be read"),
        ("none", b"no gzip", "cannot be read"),
    ):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "vasprun.xml.gz"
        file.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_run(file)


def test_folders_that_cannot_be_read_are_listed(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write(runs / "good", vasprun())
    write(runs / ".hidden" / "a", "damaged")
    (runs / "folder" / "DOSCAR").mkdir(parents=True)
    long = tmp_path / ("x" * 300)
    done = import_vasp([runs, long, tmp_path / "nul\0"], tmp_path / "out")
    assert done.imported == (str(runs / "good"),)
    assert [entry.reason.split("x: ")[-1][-18:] for entry in done.rejected] == [
        "File name too long",
        r"nul\x00 does not exist"[-18:],
    ]
    assert all(len(entry.name) <= 200 for entry in done.rejected)
    os.mkfifo(runs / "folder" / "vasprun.xml")
    done = import_vasp([runs], tmp_path / "fifo")
    assert "is a device, a pipe or a socket" in done.rejected[0].reason
    if os.geteuid() != 0:
        (runs / "closed").mkdir(mode=0o000)
        done = import_vasp([runs], tmp_path / "closed")
        assert any("Permission denied" in entry.reason for entry in done.rejected)


def _doscar(folder: Path, size: str = "  561", count: str = "2", **beside: str) -> Path:
    energies = np.linspace(-20, 8, 561)
    integral = states(energies, BANDS)
    dos = np.diff(integral, prepend=0.0) / 0.05
    rows = "\n".join(
        f"{e:11.3f} {g:.4E} {i:.4E}" for e, g, i in zip(energies, dos, integral, strict=True)
    )
    head = f"{count} 2 1 0\n a\n b\n CAR\n n\xe4me\n{8.0:16.8f}{-20.0:16.8f}{size}{0.02:16.8f}"
    folder.mkdir(parents=True)
    (folder / "DOSCAR").write_bytes(f"{head}{1.0:16.8f}\n{rows}\n".encode("latin-1"))
    ase.io.write(folder / "POSCAR", CRYSTAL, format="vasp")
    for name, text in beside.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("incar", "electrons", "note"),
    [
        ("NELECT = 26.0", 26.0, None),
        ("ENCUT = 400 ; NELECT=26", 26.0, None),
        ("# NELECT = 24\n! NELECT = 25\nNELECT = 26 ! electrons", 26.0, None),
        ("NELECT = 1.2.3", None, r"NELECT in INCAR was left out: '1.2.3' is not a number"),
        ("NELECT = .", None, "NELECT in INCAR was left out: '.' is not a number"),
        ("NELECT = ²", None, "NELECT in INCAR was left out: '²' is not a number"),
    ],
)
def test_nelect_beside_a_doscar(
    incar: str, electrons: float | None, note: str | None, tmp_path: Path
) -> None:
    folder = _doscar(tmp_path / "a", INCAR=incar)
    run = read_run(folder / "DOSCAR")
    assert run.electrons == electrons
    assert list(run.notes) == ([] if note is None else [note])
    done = import_vasp([folder], tmp_path / "out", window=energy_window(-15, 5, 0.1))
    record, grid = load_dos_dataset(tmp_path / "out").train[0], done.folder
    assert grid == tmp_path / "out"
    found = find_levels(record.dos, load_dos_dataset(grid).grid, record.electrons or 0)
    assert found.fermi_level == pytest.approx(MIDDLE, abs=0.1)


@pytest.mark.parametrize(
    ("size", "count", "message"),
    [
        ("  3.7", "2", r"line 6 should give the number of energies, not '3\.7'"),
        (" " + "9" * 400, "2", "line 6 should give the number of energies, not '9999"),
        (" 999999999999", "2", "ends after 561 of 999999999999 rows"),
        ("  -5", "2", "line 6 gives no energies"),
        ("  561", "²", "should begin with the number of atoms: '� 2 1 0'"),
        ("  561", "9" * 5000, "should begin with the number of atoms: '999"),
    ],
)
def test_sizes_in_a_doscar(size: str, count: str, message: str, tmp_path: Path) -> None:
    folder = _doscar(tmp_path / "a", size, count)
    with pytest.raises(DataError, match=message) as caught:
        read_run(folder / "DOSCAR")
    assert len(str(caught.value)) < 250


def test_energies_that_end_within_the_gap_give_no_gap(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", vasprun(stop=2.0, size=2201))
    found = import_vasp([folder], tmp_path / "out")
    assert "the energies end within the gap, so there is no dos_gap" in found.notes[0]
    assert "dos_gap" not in ase.io.read(tmp_path / "out" / "train.extxyz").info  # type: ignore[union-attr]
