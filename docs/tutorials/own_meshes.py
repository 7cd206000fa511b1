"""
Your own meshes, in any orientation
===================================

Scanned and modelled parts rarely come with an agreed "up". This page trains a classifier on a
folder of meshes that lie in all orientations, tests it under random rotations, predicts a file,
and looks at what the answer rests on.
"""

# %%
# A folder of meshes
# ------------------
# One subfolder for each class is enough. Here it is filled with four kinds of turned parts, as
# ``.off`` files in random orientations and sizes. With meshes of your own, skip this step.

from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from scipy.spatial.transform import Rotation

PROFILES = {  # corners (distance from the axis, height) of the outline that is turned
    "bottle": [(0, 0), (1, 0), (1, 2), (0.4, 2.6), (0.4, 3.4), (0, 3.4)],
    "goblet": [(0, 0), (1, 0), (0.15, 0.3), (0.15, 1.4), (1, 1.8), (1.1, 3), (0, 3)],
    "bowl": [(0, 0), (0.6, 0), (1.6, 1.2), (1.5, 1.2), (0.5, 0.1), (0, 0.1)],
    "spool": [(0, 0), (1, 0), (1, 0.3), (0.5, 0.3), (0.5, 1.9), (1, 1.9), (1, 2.2), (0, 2.2)],
}


def turned_part(outline, rng, sides=20):
    """Vertices and triangles of a turned part with random proportions, in a random orientation."""
    radius, height = (np.array(outline) * rng.uniform(0.8, 1.25, (len(outline), 2))).T
    angle = 2 * np.pi * np.arange(sides) / sides
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    flat = radius[:, None, None] * ring
    points = np.dstack([flat, np.broadcast_to(height[:, None, None], (*flat.shape[:2], 1))])
    i, j = np.mgrid[: len(outline) - 1, :sides]
    a, b = i * sides + j, (i + 1) * sides + j
    c, d = (i + 1) * sides + (j + 1) % sides, i * sides + (j + 1) % sides
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    turned = Rotation.random(None, rng).apply(points.reshape(-1, 3))
    return turned * rng.uniform(10, 300), faces


rng = np.random.default_rng(0)
folder = Path(mkdtemp()) / "parts"
for name, outline in PROFILES.items():
    for number in range(36):
        place = folder / name / ("test" if number >= 28 else "train")
        place.mkdir(parents=True, exist_ok=True)
        vertices, faces = turned_part(outline, rng)
        with (place / f"{name}-{number}.off").open("w") as file:
            print("OFF", f"{len(vertices)} {len(faces)} 0", sep="\n", file=file)
            np.savetxt(file, vertices, "%.4f")
            np.savetxt(file, np.insert(faces, 0, 3, axis=1), "%d")

# %%
# How the folder is understood
# ----------------------------
# On a terminal this is ``csgnn-dgl data info parts``. Look at the classes, the splits, and what
# was rejected. Without folders ``train`` and ``test``, a part of each class is held out.

from csgnn_dgl.cli.main import cli

cli(["data", "info", str(folder)], standalone_mode=False)

# %%
# Training
# --------
# On a terminal: ``csgnn-dgl train modelnet --data parts --preset quick --epochs 10``. Each epoch
# turns every shape anew (``train_rotation="so3"`` in this preset). A validation split is held out
# of the training shapes.

from csgnn_dgl.shapes import train_classifier

classifier = train_classifier(
    folder,
    preset="quick",
    epochs=10,
    batch_size=16,
    validation_fraction=0.2,
    output=folder.parent / "run",
    progress=False,
)

# %%
# The test under all rotations
# ----------------------------
# The test shapes are turned at random. ``votes`` averages over several orientations, and the
# baseline is what naming the most frequent class would give.

evaluation = classifier.evaluate(rotation="so3", votes=4)
print(f"{evaluation.result.accuracy:.0%} of the test shapes are recognised")

# %%
# A file
# ------
# The score says how unlike the training data a shape is: above 1 it lies outside, and the
# probabilities mean nothing. The cube is none of the four parts.

cube = folder.parent / "cube.off"
corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)])
sides = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
cube.write_text(
    "OFF\n8 6 0\n"
    + "".join(f"{x} {y} {z}\n" for x, y, z in corners)
    + "".join(f"4 {a} {b} {c} {d}\n" for a, b, c, d in sides)
)
goblet = next((folder / "goblet" / "test").glob("*.off"))
for prediction in classifier.predict([goblet, cube], votes=4):
    (name, probability), *_ = prediction.classes
    print(f"{prediction.file.name}: {name} {probability:.0%}, score {prediction.score:.1f}")

# %%
# The same shape in other orientations
# ------------------------------------

import matplotlib.pyplot as plt

from csgnn_dgl.datasets.shapes.shape_files import read_shape, shape_points

points = shape_points(goblet, read_shape(goblet), classifier.points, seed=0)
turns = Rotation.random(32, rng).as_matrix()
probabilities = classifier.probabilities(np.stack([points @ turn.T for turn in turns]))
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.boxplot(probabilities, tick_labels=list(classifier.class_names))
axes.set(ylabel="probability", title="32 orientations of one goblet", ylim=(0, 1))
plt.show()

# %%
# What the answer rests on
# ------------------------
# On a terminal: ``csgnn-dgl view goblet.off --model run``. Red points speak for the class. The
# page is one file, which works without a network. Try the sliders.

from csgnn_dgl.viewing.config import ViewConfig
from csgnn_dgl.viewing.view import view_file

page = folder.parent / "goblet.html"
view_file(goblet, ViewConfig(model=classifier.weights, output=page))

# sphinx_gallery_start_ignore
import html


class Frame:
    """A page within this page."""

    def _repr_html_(self):
        text = html.escape(page.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{text}" style="width:100%;height:760px;border:0"></iframe>'


Frame()
# sphinx_gallery_end_ignore

# %%
# For real work
# -------------
# Take ``preset="compact"`` (0.61 M parameters) and more epochs, and compare with other networks
# by ``model="riconv"`` and so on (:doc:`/models`). :doc:`/protocols` says what the rotations and
# votes mean, and :doc:`/data` what may be in the folder.
