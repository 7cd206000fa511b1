"""
The paper's tables
==================

``csgnn-dgl compare`` trains many systems side by side under one protocol: the same data,
augmentation, rotations and validation split. This page trains three systems of Table 1 for a few
seconds each, to show what comes out.
"""

# %%
# A small Table 1
# ---------------
# On a terminal: ``csgnn-dgl compare table1 --models pointnet,riconv,csgnn --protocols z --budget
# 0.1 --output table1``. Without ``--data``, shapes are the built-in solids. Each cell runs in a
# process of its own; if the command is stopped, the same command goes on.

from pathlib import Path
from tempfile import mkdtemp

from csgnn_dgl.cli.main import cli

folder = Path(mkdtemp()) / "table1"
options = ["--models", "pointnet,csgnn", "--protocols", "z", "--budget", "0.1"]
cli(["compare", "table1", *options, "--output", str(folder)], standalone_mode=False)

# %%
# Each row is a system. It was trained under rotations about the axis that points up (``z``), and
# tested under the same rotations (``z/z``) and under all rotations (``z/so3``). After six seconds
# no system has learned much; but a network that sees coordinates loses what it has learned when
# shapes are turned, and CSGNN keeps it.

import matplotlib.image
import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
axes.imshow(matplotlib.image.imread(folder / "report.png"))
axes.set_axis_off()
plt.show()

# %%
# What lies in the folder
# -----------------------
# Every cell is an ordinary run, which ``evaluate``, ``predict``, ``view`` and ``report`` take.

for path in sorted(folder.iterdir()):
    print(path.name)
cli(["compare", "table1", "--output", str(folder), "--list"], standalone_mode=False)

# %%
# For real work
# -------------
# :doc:`/comparison` has the tables that were measured on SHREC'11 with all ten systems and more
# time, what differs from the published protocols, and the commands. ``make tables`` makes all
# four tables, small, on built-in data.
