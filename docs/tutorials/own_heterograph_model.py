"""
Your own heterograph model in 50 lines
======================================

The concentric grid is a plain DGL heterograph: one node type, ``vertex``, and the edge types
``intra`` (within a sphere) and ``radial`` (between spheres). So networks on it are written as for
any other graph. This page combines DGL's own ``HeteroGraphConv`` and ``GraphConv`` with
``PointMapping``, ``RadialConv`` and ``VertexPool`` of this package, trains the model by the
command and by plain Lightning, and compiles it.
"""

# %%
# The graph
# ---------
# Node ``v * n_spheres + r`` is vertex ``v`` on sphere ``r``. Coarsening graphs pool a level to
# the next coarser one.

from csgnn_dgl.grid import ConcentricGrid

grid = ConcentricGrid(level=2, n_spheres=4, coarsest=1)
print(grid.graph())
print(grid.coarsening(2))

# %%
# The model
# ---------
# This is the whole of ``my_models.py``. Deriving it from ``ShapeModel`` is what lets the commands
# train, evaluate, predict and export it. Every edge type has a convolution of its own; their
# results are added up.
#
# .. literalinclude:: /tutorials/my_models.py
#    :lines: 3-
#
# Graphs are made in the constructor. A graph that is made in ``forward`` is made again for every
# batch, and no compiler can follow that.

import torch
from my_models import RelationNet

model = RelationNet(RelationNet.Hypers())
print(model(torch.rand(8, 256, 3) / 2).shape)

# %%
# Trained by the command
# ----------------------
# The data are clouds of four built-in solids, one folder for each class.

from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from csgnn_dgl.datasets.shapes.solids import solid_points

FAMILIES = ("trefoil", "stairs", "cross", "torus")
work = Path(mkdtemp())
for name in FAMILIES:
    for number in range(40):
        folder = work / "solids" / name / ("test" if number >= 32 else "train")
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{number}.npy", solid_points(name, 256, seed=number))

# %%
# On a terminal, in the folder of ``my_models.py``:
#
# .. code-block:: text
#
#     export PYTHONPATH=.
#     csgnn-dgl train modelnet --model my_models:RelationNet --set width=32 --data solids
#     csgnn-dgl evaluate RUN --model my_models:RelationNet --rotation so3

from csgnn_dgl.cli.main import cli

options = ["--epochs", "6", "--batch-size", "16", "--learning-rate", "3e-3", "--points", "256"]
options += ["--hidden", "64", "--train-rotation", "so3", "--no-progress"]
named = ["--model", "my_models:RelationNet"]
where = ["--data", str(work / "solids"), "--output", str(work / "run")]
cli(["train", "modelnet", *named, "--set", "width=32", *where, *options], standalone_mode=False)
cli(["evaluate", str(work / "run"), *named, "--rotation", "so3"], standalone_mode=False)

# %%
# Trained by plain Lightning
# --------------------------
# Nothing of the command is needed.

import lightning
from torch.utils.data import DataLoader, TensorDataset

from csgnn_dgl.mapping import normalize_clouds, random_rotations, rotate_clouds
from csgnn_dgl.models import Classifier


def clouds_of(split):
    files = [sorted((work / "solids" / name / split).glob("*.npy")) for name in FAMILIES]
    clouds = torch.from_numpy(np.stack([np.load(file) for group in files for file in group]))
    labels = torch.arange(len(FAMILIES)).repeat_interleave(len(files[0]))
    return TensorDataset(normalize_clouds(clouds.float()), labels)


def turned(points):
    rotations = random_rotations(len(points), "so3", "z", torch.default_generator)
    return rotate_clouds(points, rotations.to(points))


class Task(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.network = Classifier(RelationNet(RelationNet.Hypers()), len(FAMILIES), hidden=(64,))

    def training_step(self, batch):
        points, labels = batch
        points = turned(points)
        return torch.nn.functional.cross_entropy(self.network(points), labels)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=3e-3)


lightning.seed_everything(0, verbose=False)
task = Task()
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
trainer = lightning.Trainer(max_epochs=6, accelerator="cpu", enable_model_summary=False, **quiet)
trainer.fit(task, DataLoader(clouds_of("train"), batch_size=16, shuffle=True))

test, labels = clouds_of("test").tensors
network = task.network.eval()
with torch.no_grad():
    test = turned(test)
    found = network(test).argmax(dim=1)
print(f"{(found == labels).float().mean():.0%} of the test shapes are recognised")

# %%
# Compiled
# --------
# ``torch.compile`` follows the mapping, the pooling and the head. It cannot look into DGL's
# kernels, so ``convolve`` is left out (``torch.compiler.disable``) and runs as it is. The first
# call before that fills the tables of the mapping. ``backend`` is named because the machine that
# builds this page has no C++ compiler; otherwise leave it out.

compiled = torch.compile(network, backend="aot_eager")
with torch.no_grad():
    print(f"largest difference: {(compiled(test) - network(test)).abs().max():.0e}")

# %%
# With this package's layers alone, the whole network becomes one compiled graph
# (``fullgraph=True`` fails otherwise). ``prepare`` replaces a DGL graph by index tensors, which
# compilers can follow.

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
# Test what your model claims with the suite that it can inherit (:doc:`/models`,
# :ref:`sphx_glr_learn_network_invariance.py`). All layers of the package take any graph
# with these edge types: see :doc:`/api/nn`.
