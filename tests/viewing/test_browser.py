"""Pages in a browser: they are drawn without errors, and controls change what they show."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csgnn_dgl.models import ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.tasks.run_directory import RunDirectory

Pages = Callable[..., Any]

_COUNT = "return document.getElementById(arguments[0]).data[arguments[1]].x.length"
_COLOR = "return JSON.stringify(document.getElementById(arguments[0]).data[0].marker.color)"
# Where a point of a scene's first trace lies in the window.
_PLACE = """
const shown = document.getElementById(arguments[0]), i = arguments[1], trace = shown.data[0];
const scene = shown._fullLayout.scene._scene, camera = scene.glplot.cameraParams;
const times = (m, v) => [0, 1, 2, 3].map((r) => v.reduce((sum, x, k) => sum + m[4 * k + r] * x, 0));
let place = [trace.x[i], trace.y[i], trace.z[i]].map((x, k) => x * scene.dataScale[k]).concat(1);
for (const matrix of [camera.model, camera.view, camera.projection]) place = times(matrix, place);
const box = scene.glplot.canvas.getBoundingClientRect();
const [x, y, z] = place.map((value) => value / place[3]);
return [box.left + ((x + 1) / 2) * box.width, box.top + ((1 - y) / 2) * box.height, z];
"""


def test_errors_are_seen(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<script>document.body.dataset.x.y.z = 1</script>")
    browser.driver.get(path.as_uri())
    assert browser.errors()
    path.write_text("<p>nothing</p>")
    browser.driver.get(path.as_uri())
    assert not browser.errors()


def test_a_shape(browser: Any, page: Pages, solids: Path, trefoil: Path) -> None:
    found = page("view", trefoil, "--model", solids)
    browser.open(found.path)
    everything = browser.script(_COUNT, "sites", 0)
    assert browser.text("sphere-now") == "all"
    # The slider over spheres.
    parts = []
    for sphere in range(1, 5):
        browser.set("sphere", sphere)
        parts.append(browser.script(_COUNT, "sites", 0))
    assert sum(parts) == everything
    assert browser.text("sphere-now") == "4 of 4"
    browser.set("sphere", 0)
    # Channels and layers, and the slider over levels.
    first = browser.script(_COLOR, "sites")
    browser.set("channel", 2)
    assert browser.script(_COLOR, "sites") != first
    browser.set("zeros", True)
    assert browser.script(_COUNT, "sites", 0) == 42 * 4
    browser.set("level", 0)
    assert browser.script(_COUNT, "sites", 0) == 12 * 4
    assert "convolution 1" in browser.text("layer")
    # What speaks for other classes.
    best = browser.script(_COLOR, "cloud")
    for row in (1, 4):
        browser.set("paint", row)
        assert browser.script(_COLOR, "cloud") != best
        colors = browser.script("return document.getElementById('cloud').data[0].marker.color")
        assert colors == pytest.approx(found.data["shares"][row].tolist())
        assert found.data["classes"][row] in browser.text("method")
    browser.set("paint", "radius")
    assert browser.text("method") == ""
    shown = browser.script("return document.getElementById('bars').data[0].y")
    assert len(shown) == 12
    # Turning one scene turns the other.
    eye = "return document.getElementById('sites').layout.scene.camera.eye.x"
    turn = "Plotly.relayout('cloud', {'scene.camera': {eye: {x: 0.3, y: 1, z: 1}}})"
    browser.script(turn)
    browser.wait(f"{eye} === 0.3")
    assert browser.script("return performance.getEntriesByType('resource').length") == 0
    assert not browser.errors()


def test_spheres_of_different_levels(
    browser: Any, page: Pages, save: Callable[..., Path], trefoil: Path
) -> None:
    hypers = ShapeCSGNNHypers(sphere_levels=[1, 0, 2], channels=2, base_width=2)
    browser.open(page("view", trefoil, "--model", save(ShapeCSGNN(hypers), "csgnn")).path)
    browser.set("zeros", True)
    for level, vertices in ((2, (42, 12, 162)), (1, (12, 12, 42)), (0, (12, 12, 12))):
        browser.set("level", level)
        for sphere, count in enumerate(vertices, start=1):
            browser.set("sphere", sphere)
            assert browser.script(_COUNT, "sites", 0) == count
            place = (
                "return ['x', 'y', 'z'].map((k) => document.getElementById('sites').data[0][k][5])"
            )
            assert np.linalg.norm(browser.script(place)) == pytest.approx(sphere / 3)
    assert not browser.errors()


def test_atoms(browser: Any, page: Pages, c60: Path) -> None:
    browser.open(page("view", c60, "--model", "carbon-tb").path)
    assert browser.text("name") == "C 0"
    curve = "return document.getElementById('curves').data[1].name"
    assert browser.script(curve) == "C 0"
    # A real click on the atom that is nearest to the viewer.
    places = [browser.script(_PLACE, "structure", atom) for atom in range(60)]
    atom = min(range(60), key=lambda index: places[index][2])
    assert atom != 0
    x, y = (int(place) for place in places[atom][:2])
    chosen = f"return document.getElementById('name').textContent === 'C {atom}'"
    if not browser.click_point(x, y, chosen):
        # On a machine that draws a frame in seconds, the click is over before the scene sees it.
        # So the scene reports it by hand, and what follows is tested all the same.
        event = f"{{points: [{{curveNumber: 0, pointNumber: {atom}}}]}}"
        browser.script(f"document.getElementById('structure').emit('plotly_click', {event})")
    browser.wait(chosen)
    browser.wait(f"{curve} === 'C {atom}'")
    # Choosing by number, and the slider over spheres.
    browser.set("atom", 7, "change")
    assert browser.text("name") == "C 7"
    everything = browser.script(_COUNT, "around", 2)
    browser.set("sphere", 5)  # of the bonds
    assert 0 < browser.script(_COUNT, "around", 2) < everything
    assert "Å" in browser.text("sphere-now")
    browser.set("neighbours", False)
    assert browser.script("return document.getElementById('around').data.length") == 3
    before = browser.script(_COLOR, "structure")
    browser.set("paint", "score")
    assert browser.script(_COLOR, "structure") != before
    lines = browser.script("return document.getElementById('curves').layout.shapes.length")
    assert lines == 2  # the Fermi level, and its uncertainty
    assert browser.script("return performance.getEntriesByType('resource').length") == 0
    assert not browser.errors()


def test_reports(browser: Any, page: Pages, class_run: Path, dos_run: RunDirectory) -> None:
    browser.open(page("report", class_run).path)
    names = browser.script("return document.getElementById('confusion').data[0].y")
    assert names == ["ball", "disc", "rod"]
    labels = "return document.querySelectorAll('#confusion .yaxislayer-above text').length"
    assert browser.script(labels) == 3
    assert browser.script("return document.getElementById('curves').data.length") == 5
    assert not browser.errors()
    browser.open(page("report", dos_run.path).path)
    assert browser.script("return document.getElementById('parity').data.length") == 2
    assert browser.script("return document.getElementById('matrix').hidden")
    assert not browser.errors()


def test_forty_classes_are_readable(browser: Any, tmp_path: Path) -> None:
    from csgnn_dgl.viewing.page import write_page

    names = [f"night stand {index}" for index in range(40)]
    counts = [[20 if i == j else int(abs(i - j) == 1) for j in range(40)] for i in range(40)]
    path = tmp_path / "page.html"
    parts = ("headline", "results", "notes", "examples", "training", "protocol", "evaluations")
    payload = {"curves": [], "epochs": [], "confusion": {"names": names, "counts": counts}}
    write_page(
        path,
        title="forty",
        name="report",
        payload=payload,
        options="",
        versions="",
        **dict.fromkeys(parts, ""),
    )
    browser.open(path)
    boxes = browser.script(
        "return [...document.querySelectorAll('#confusion .yaxislayer-above text')].map((text) => "
        "[text.textContent, text.getBoundingClientRect().top, "
        "text.getBoundingClientRect().height, text.getBoundingClientRect().left])"
    )
    assert [box[0] for box in boxes] == names
    tops = [box[1] for box in boxes]
    steps = [b - a for a, b in itertools.pairwise(tops)]
    # No name overlaps the next one, or is cut off on the left.
    assert min(steps) >= max(box[2] for box in boxes) - 1
    assert min(box[3] for box in boxes) >= 0
    assert not browser.errors()
