"""The tight-binding data set: small trajectories, their labels, and going on after a stop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.datasets.atoms.carbon import allotrope
from csgnn_dgl.datasets.atoms.carbon_md import CarbonRecipe, make_carbon, simulate
from csgnn_dgl.datasets.atoms.carbon_trajectory import CARBON_GRID, read_trajectory, trajectories
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.physics import band_energy, fermi_level, refined
from csgnn_dgl.physics.carbon_tb import solve

SMALL = CarbonRecipe(
    structures=("C20",), snapshots=3, test_snapshots=2, interval=2, equilibration=5
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("carbon")
    make_carbon(SMALL, folder, processes=1)
    return folder


def test_files_and_counts(made: Path) -> None:
    assert sorted(path.name for path in made.iterdir()) == [
        "C20-300K-test.npz",
        "C20-300K-train.npz",
        "C20-600K-test.npz",
        "C20-600K-train.npz",
        "recipe.json",
    ]
    assert [len(t) for t in trajectories(made)] == [1, 3, 1, 3]
    assert {t.temperature for t in trajectories(made, "train")} == {300.0, 600.0}


def test_labels_are_those_of_the_stored_positions(made: Path) -> None:
    found = read_trajectory(made / "C20-600K-train.npz")
    for index in range(len(found)):
        spectrum = solve(found.atoms(index))
        assert found.band_energy[index] == pytest.approx(spectrum.band_energy / 20, abs=1e-9)
        fine, grid = refined(found.dos[index], CARBON_GRID)
        # All states below the top of the window are there, and the band energy is in the curve.
        assert np.trapezoid(fine, dx=grid.step) > 4
        assert band_energy(fine, grid, 4.0) == pytest.approx(found.band_energy[index], abs=0.05)
        assert fermi_level(fine, grid, 4.0) == pytest.approx(found.fermi_level[index], abs=0.5)
    assert np.abs(found.positions[1] - found.positions[0]).max() > 1e-3, "it moves"


def test_trajectories_are_deterministic_and_differ(made: Path) -> None:
    again = simulate(SMALL, "C20", 300.0, "train", 3)
    found = read_trajectory(made / "C20-300K-train.npz")
    np.testing.assert_array_equal(again.positions, found.positions)
    test = read_trajectory(made / "C20-300K-test.npz")
    assert not np.allclose(test.positions[0], found.positions[0], atol=1e-3)


def test_layers_without_forces_between_them_stay_in_place() -> None:
    recipe = CarbonRecipe(("graphite",), (600.0,), equilibration=20)
    found = simulate(recipe, "graphite", 600.0, "train", 2)
    home = allotrope("graphite").positions
    height = np.round(home[:, 2] / 3.35).astype(int)
    assert np.bincount(height).tolist() == [18] * 6
    for positions in found.positions:
        moved = positions - home
        assert np.abs(moved).max() > 0.02, "atoms move"
        for layer in range(6):
            np.testing.assert_allclose(moved[height == layer].mean(axis=0), 0, atol=1e-5)
    # The labels are those of these positions.
    spectrum = solve(found.atoms(1))
    assert found.band_energy[1] == pytest.approx(spectrum.band_energy / 108, abs=1e-9)


def test_only_what_is_missing_is_made(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import csgnn_dgl.datasets.atoms.carbon_md as module

    removed = made / "C20-600K-test.npz"
    before = {p: p.read_bytes() for p in made.glob("*.npz")}
    removed.unlink()
    calls = []
    real = module.simulate

    def counted(*arguments: object) -> object:
        calls.append(arguments[1:])
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "simulate", counted)
    seen: list[Path] = []
    make_carbon(SMALL, made, processes=1, progress=seen.append)
    assert calls == [("C20", 600.0, "test", 1)]
    assert len(seen) == 4
    assert {p: read_trajectory(p).positions.tobytes() for p in before} == {
        p: read_trajectory(p).positions.tobytes() for p in made.glob("*.npz")
    }


def test_several_processes(tmp_path: Path, made: Path) -> None:
    make_carbon(SMALL, tmp_path / "two", processes=2)
    for path in made.glob("*.npz"):
        other = read_trajectory(tmp_path / "two" / path.name)
        np.testing.assert_allclose(other.positions, read_trajectory(path).positions, atol=1e-6)


def test_other_recipes_are_not_mixed(made: Path, tmp_path: Path) -> None:
    other = CarbonRecipe(structures=("C20",), snapshots=4, test_snapshots=2, interval=2)
    with pytest.raises(DataError, match=r"other options \(equilibration, snapshots\)"):
        make_carbon(other, made)
    (tmp_path / "mine.npz").write_bytes(b"")
    with pytest.raises(DataError, match="name another folder"):
        make_carbon(SMALL, tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"text"])
def test_damaged_files_are_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.npz (is empty|is damaged|cannot be read: )"):
        read_trajectory(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(DataError, match=r"bad\.npz (is empty|is damaged|cannot be read: )"):
        read_trajectory(path)
    with pytest.raises(DataError, match="there is no trajectory"):
        read_trajectory(tmp_path / "gone.npz")


def test_recipes_are_checked_and_recorded(made: Path) -> None:
    assert json.loads((made / "recipe.json").read_text())["interval"] == 2
    with pytest.raises(ConfigError, match="did you mean 'graphene'"):
        CarbonRecipe(structures=("grafene",))
    with pytest.raises(ConfigError, match="divided evenly"):
        CarbonRecipe(test_snapshots=3)
    with pytest.raises(ConfigError):
        CarbonRecipe(temperatures=(-1.0,))
    with pytest.raises(ConfigError):
        CarbonRecipe(snapshots=0)
    jobs = list(CarbonRecipe().jobs())
    assert len(jobs) == 32
    assert sum(count for *_, split, count in jobs if split == "train") == 1600
    assert sum(count for *_, split, count in jobs if split == "test") == 160


def _archive(path: Path, **changed: object) -> Path:
    count, n_atoms = 2, 3
    arrays: dict[str, object] = {
        "about": json.dumps({"structure": "C20", "temperature": 300.0, "split": "train"}),
        "positions": np.zeros((count, n_atoms, 3), np.float32),
        "cell": np.eye(3),
        "pbc": np.zeros(3, bool),
        "dos": np.zeros((count, 310), np.float32),
        "band_energy": np.zeros(count),
        "fermi_level": np.zeros(count),
    }
    np.savez_compressed(path, **{**arrays, **changed})  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"about": "[" * 100_000}, "nested too deeply"),
        ({"about": "{}"}, "'structure' is missing"),
        ({"about": "[]"}, "cannot be read"),
        (
            {"about": json.dumps({"structure": 3, "temperature": 300, "split": "train"})},
            "structure is 3",
        ),
        (
            {"about": json.dumps({"structure": "C", "temperature": "hot", "split": "train"})},
            "temperature is 'hot'",
        ),
        ({"positions": np.zeros((2, 3))}, r"positions have shape \(2, 3\)"),
        ({"positions": np.zeros((0, 3, 3))}, r"positions have shape \(0, 3, 3\)"),
        ({"positions": np.full((2, 3, 3), np.inf)}, "positions holds values that are NaN"),
        ({"positions": np.zeros((2, 3, 3), "S5")}, r"positions is of the type \|S5"),
        ({"cell": np.zeros(3)}, r"cell has shape \(3,\), but \(3, 3\)"),
        ({"pbc": np.zeros(3)}, "pbc is of the type float64"),
        ({"dos": np.zeros((2, 310), complex)}, "dos is of the type complex128"),
        ({"dos": np.array([None, {}], dtype=object)}, "cannot be read: Object arrays"),
        ({"band_energy": np.zeros(3)}, "band_energy has shape"),
    ],
)
def test_archives_of_other_content(changed: dict[str, object], reason: str, tmp_path: Path) -> None:
    assert len(read_trajectory(_archive(tmp_path / "good.npz"))) == 2
    with pytest.raises(DataError, match=reason) as caught:
        read_trajectory(_archive(tmp_path / "bad.npz", **changed))
    assert "make carbon-tb" in str(caught.value)
    assert "unsafe" not in str(caught.value)


def test_archives_that_declare_too_much(tmp_path: Path) -> None:
    path = _archive(tmp_path / "a.npz", dos=np.zeros(3 * 10**7, np.float32))
    assert path.stat().st_size < 10**6
    with pytest.raises(DataError, match=r"expands to more than 64 MiB"):
        read_trajectory(path)
    # An encrypted member: its flag is set in the central directory and in the local header.
    content = bytearray(_archive(tmp_path / "b.npz").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        while start >= 0:
            content[start + place] |= 1
            start = content.find(mark, start + 1)
    (tmp_path / "b.npz").write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"cannot be read: .*encrypted"):
        read_trajectory(tmp_path / "b.npz")
