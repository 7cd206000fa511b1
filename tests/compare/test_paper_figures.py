"""Figures 2, 3 and 5 are drawn from the objects that the models use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from csgnn_dgl.cli.main import main
from csgnn_dgl.compare.figures import FIGURES, write_figures
from csgnn_dgl.compare.figures.carbon import KINDS, bonds
from csgnn_dgl.compare.figures.cloud import cloud_features, cloud_of
from csgnn_dgl.compare.figures.grid import edge_ends, sources
from csgnn_dgl.compare.figures.scene import Scene
from csgnn_dgl.datasets.atoms.carbon import ALLOTROPES, allotrope
from csgnn_dgl.errors import ConfigError, DataError
from csgnn_dgl.grid import ConcentricGrid, Icosphere

DOCS = Path(__file__).parents[2] / "docs"


def test_grouping_keeps_the_features() -> None:
    single, grouped = cloud_features(cloud_of(None))
    assert single.shape == (162, 6)
    assert np.array_equal(single[:, 2 * 1 + 1], grouped[:, 1, 1])
    assert 0.1 < (single > 0).mean() < 0.9


def test_clouds_with_few_points_are_drawn_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.random.default_rng(0).normal(size=(30, 3)))
    assert cloud_of(tmp_path / "few.npy").shape == (30, 3)
    assert cloud_of(None).shape == (1024, 3)


def test_edges_are_those_of_the_graph() -> None:
    graph = ConcentricGrid(1, 3).graph()
    ends = edge_ends(graph, "intra")
    assert len(ends) == 3 * len(Icosphere.get(1).edges)
    radii = np.linalg.norm(ends, axis=2)
    assert np.allclose(radii[:, 0], radii[:, 1])
    chains = edge_ends(graph, "radial")
    assert np.allclose(np.cross(chains[:, 0], chains[:, 1]), 0, atol=1e-6)
    assert (
        len(edge_ends(graph, "radial", once=False)) == 2 * len(chains) == graph.num_edges("radial")
    )
    assert len(sources(graph, "intra", 0)) == 5  # a corner of the icosahedron


@pytest.mark.parametrize("name", ["C20", "C60", "graphene", "cnt-8-0"])
def test_bonds_of_structures(name: str) -> None:
    atoms = allotrope(name, relax=False)
    ends = bonds(atoms)
    lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    assert lengths.min() > 1.3
    assert lengths.max() < 1.6
    # Three bonds per atom; in periodic structures, some lead to the next cell.
    most = 3 * len(atoms) // 2
    assert len(ends) == most if not atoms.pbc.any() else 0.8 * most < len(ends) < most


def test_every_structure_is_drawn() -> None:
    assert {name for members in KINDS.values() for name in members} == set(ALLOTROPES)


def test_what_is_behind_is_fainter_and_drawn_first() -> None:
    axes = Figure().add_subplot()
    scene = Scene(axes, azimuth=0, elevation=0)
    scene.dots(np.array([[1.0, 0, 0], [-1, 1, 0]]), "#000000")
    scene.draw()
    behind, before = sorted(axes.collections, key=lambda dots: dots.get_zorder())
    assert isinstance(before, PathCollection)
    assert np.asarray(before.get_offsets())[0].tolist() == [0, 0]
    dark, faint = (np.asarray(dots.get_facecolor())[0, 0] for dots in (before, behind))
    assert dark < faint


@pytest.mark.parametrize(
    ("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")]
)
def test_formats(kind: str, start: bytes, tmp_path: Path) -> None:
    (path,) = write_figures(tmp_path, only=[3], kind=kind)
    assert path == tmp_path / f"figure-3.{kind}"
    content = path.read_bytes()
    assert content.startswith(start)
    (again,) = write_figures(tmp_path / f"again.{kind}", only=[3])
    assert again.read_bytes() == content


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--only", "4"), "no figure 4"),
        (("--only", "2,2"), "named once"),
        (("--only", ","), "named once"),
        (("--only", "two"), "numbers of figures"),
        (("--only", "3", "--shape", "a.off"), "not drawn"),
        (("--only", "2", "--shape", "absent.off"), "absent.off"),
        (("--format", "gif"), "no format 'gif'"),
        (("--output", "a.png"), "one file for 3 figures"),
        (("--output", "a.png", "--only", "3", "--format", "pdf"), "no .pdf"),
    ],
)
def test_bad_input(
    words: tuple[str, ...],
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["compare", "figures", *words])
    assert stop.value.code == 2
    assert what in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.p*"))


def test_errors_from_python(tmp_path: Path) -> None:
    (tmp_path / "words.npy").write_text("no numbers")
    with pytest.raises(DataError, match=r"words\.npy"):
        write_figures(tmp_path, only=[2], shape=tmp_path / "words.npy")
    with pytest.raises(ConfigError, match="named once"):
        write_figures(tmp_path, only=[])


@pytest.mark.parametrize("number", FIGURES)
def test_the_docs_show_the_figures(number: int) -> None:
    path = DOCS / "images" / f"figure-{number}.png"
    assert f"images/{path.name}" in (DOCS / "comparison.md").read_text(encoding="utf-8")
    assert path.stat().st_size < 200_000
    with Image.open(path) as picture:
        assert min(picture.size) > 350


def test_few_colors_keep_rare_ones(tmp_path: Path) -> None:
    """A thin green line keeps its colour among many greys."""
    from csgnn_dgl.tasks.plots import save_figure

    figure = Figure(figsize=(3, 2))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(np.random.default_rng(0).random((60, 90)), cmap="gray", aspect="auto")
    axes.axhline(30, color="#00aa00", linewidth=2)
    save_figure(figure, tmp_path / "few.png", colors=64)
    save_figure(figure, tmp_path / "all.png")
    with Image.open(tmp_path / "few.png") as few, Image.open(tmp_path / "all.png") as whole:
        assert len(few.convert("RGB").getcolors() or []) <= 64
        pixels: Any = np.asarray(few.convert("RGB"), dtype=int)
        assert len(whole.convert("RGB").getcolors(10**6) or []) > 200
    green = pixels[..., 1] - pixels[..., [0, 2]].max(axis=2)
    assert green.max() > 150
