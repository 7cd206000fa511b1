"""
Your own heterograph model in 50 lines
======================================

The concentric grid is a plain DGL heterograph: one node type, ``vertex``, and the edge types ``intra`` (within a
sphere) and ``radial`` (between spheres). So networks on it are written as for any other graph. This page combines
DGL's own ``HeteroGraphConv`` and ``GraphConv`` with ``PointMapping``, ``RadialConv`` and ``VertexPool`` of this package,
trains the model by the command and by plain Lightning, and compiles it.
"""

# %%
# The graph
# ---------
# Node ``v * n_spheres + r`` is vertex ``v`` on sphere ``r``. Coarsening graphs pool a level to the next coarser one.

from csgnn_dgl.grid import ConcentricGrid

grid = ConcentricGrid(level=2, n_spheres=4, coarsest=1)
print(grid.graph())
print(grid.coarsening(2))

# %%
# The model
# ---------
# This is the whole of ``my_models.py``. Deriving it from ``ShapeModel`` is what lets the commands train, evaluate, predict
# and export it. Every edge type has a convolution of its own; their results are added up.
#
# .. literalinclude:: /tutorials/my_models.py
#    :lines: 3-
#
# Graphs are made in the constructor. A graph that is made in ``forward`` is made again for every batch, and no compiler can
# follow that.

import torch
from my_models import RelationNet

model = RelationNet(RelationNet.Hypers())
print(model(torch.rand(8, 256, 3) / 2).shape)

# %%
# Trained by the command
# ----------------------
# On a terminal, in the folder of ``my_models.py``:
#
# .. code-block:: text
#
#     PYTHONPATH=. csgnn-dgl train modelnet --model my_models:RelationNet --set width=32 --epochs 4
#
# Without ``--data`` it learns the built-in solids, under random rotations (``--train-rotation so3``). ``csgnn-dgl evaluate RUN --model
# my_models:RelationNet`` tests it.

from pathlib import Path
from tempfile import mkdtemp

from csgnn_dgl.cli.main import cli

run = Path(mkdtemp()) / "run"
options = ["--epochs", "4", "--learning-rate", "3e-3", "--points", "512", "--train-rotation", "so3"]
options += ["--model", "my_models:RelationNet", "--set", "width=32", "--no-progress"]
cli(["train", "modelnet", *options, "--output", str(run)], standalone_mode=False)

# %%
# Four epochs are not enough to learn much, but more than naming one class of 16, which gives 6 %.
#
# Trained by plain Lightning
# --------------------------
# Nothing of the command is needed. The data here are clouds of four built-in solids, in all orientations.

import lightning
import numpy as np
from torch.utils.data import DataLoader, TensorDataset

from csgnn_dgl.datasets.shapes.solids import solid_points
from csgnn_dgl.mapping import normalize_clouds, random_rotations, rotate_clouds
from csgnn_dgl.models import Classifier

FAMILIES = ("trefoil", "stairs", "cross", "torus")


def clouds_of(first, last):
    clouds = [solid_points(name, 256, seed=seed) for name in FAMILIES for seed in range(first, last)]
    labels = torch.arange(len(FAMILIES)).repeat_interleave(last - first)
    return TensorDataset(normalize_clouds(torch.from_numpy(np.stack(clouds)).float()), labels)


class Task(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = Classifier(RelationNet(RelationNet.Hypers()), len(FAMILIES), hidden=(64,))

    def training_step(self, batch):
        points, labels = batch
        points = rotate_clouds(points, random_rotations(len(points)).to(points))
        return torch.nn.functional.cross_entropy(self.network(points), labels)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=3e-3)


lightning.seed_everything(0, verbose=False)
task = Task()
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
trainer = lightning.Trainer(max_epochs=8, accelerator="cpu", enable_model_summary=False, **quiet)
trainer.fit(task, DataLoader(clouds_of(0, 32), batch_size=16, shuffle=True))

test, labels = clouds_of(100, 116).tensors
network = task.network.eval()
with torch.no_grad():
    turned = rotate_clouds(test, random_rotations(len(test)).to(test))
    found = network(turned).argmax(dim=1)
print(f"{(found == labels).float().mean():.0%} of the test shapes are recognised")

# %%
# Compiled
# --------
# ``torch.compile`` follows the mapping, the pooling and the head. It cannot look into DGL's kernels, so ``convolve`` is left out
# (``torch.compiler.disable``) and runs as it is. The first call before that fills the tables of the mapping. ``backend``
# is named because the machine that builds this page has no C++ compiler; otherwise leave it out.

compiled = torch.compile(network, backend="aot_eager")
with torch.no_grad():
    print(f"largest difference: {(compiled(turned) - network(turned)).abs().max():.0e}")

# %%
# With this package's layers alone, the whole network becomes one compiled graph (``fullgraph=True`` fails otherwise).
# ``prepare`` replaces a DGL graph by index tensors, which compilers can follow.

from torch import nn

from csgnn_dgl.mapping import PointMapping
from csgnn_dgl.nn import IntraConv, RadialConv, VertexPool
from csgnn_dgl.nn.structure import prepare


class CompiledNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.graphs = [prepare(grid.graph(level), radial="radial") for level in (2, 1)]
        self.coarsening = prepare(grid.coarsening(2))
        self.mapping = PointMapping(2, 4, channels=4, validate=False)
        self.intra = nn.ModuleList([IntraConv(4, width), IntraConv(width, width)])
        self.radial = nn.ModuleList([RadialConv(4, width), RadialConv(width, width)])
        self.pool = VertexPool("max")

    def convolve(self, index, feat):
        graph = self.graphs[index]
        return torch.relu(self.intra[index](graph, feat) + self.radial[index](graph, feat))

    def forward(self, points):
        feat = self.pool(self.coarsening, self.convolve(0, self.mapping(points)))
        return self.convolve(1, feat).amax(dim=0)


network = CompiledNet()
network(test)
compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
difference = compiled(test) - network(test)
print(f"largest difference: {difference.abs().max():.0e}")

# %%
# For real work
# -------------
# Test what your model claims with the suite that it can inherit (:doc:`/models`, :ref:`sphx_glr_tutorials_built_network_invariance.py`).
# All layers of the package take any graph with these edge types: see :doc:`/api/nn`.
