"""
Is my network invariant?
========================

Networks for shapes of any orientation claim that rotations do not matter: exactly, for some
rotations, or nearly. :mod:`csgnn_dgl.testing` measures what is true. The checks work on any
function of clouds, also without the models of this package.
"""

# %%
# Four ways to describe a cloud
# -----------------------------
# ``distances`` is invariant, ``coordinates`` is not. The two others are networks with random
# weights: PointNet sees coordinates, and CSGNN sees sites on concentric icosahedral spheres.

import torch

from csgnn_dgl.models import PointNet, ShapeCSGNN, ShapeCSGNNHypers

torch.manual_seed(0)
points = torch.randn(2, 64, 3, dtype=torch.float64)
clouds = points / points.norm(dim=-1).amax(dim=1)[:, None, None]


def distances(points):
    pairs = points[:, :, None] - points[:, None]
    return pairs.norm(dim=-1).mean(dim=2)


def coordinates(points):
    return points.abs().sum(dim=1)


networks = {
    "pointnet": PointNet(PointNet.Hypers()),
    "csgnn": ShapeCSGNN(ShapeCSGNNHypers(level=2, n_spheres=4, channels=4, base_width=8)),
}
functions = {"distances": distances, "coordinates": coordinates}
for name, network in networks.items():
    functions[name] = network.double().eval()

# %%
# Exactly, for the 60 rotations of the icosahedron
# ------------------------------------------------
# The check returns the error that it measured, or fails and says how far off the function is.

from csgnn_dgl.testing import assert_rotation_invariant

for name, function in functions.items():
    try:
        print(f"{name}: invariant, error {assert_rotation_invariant(function, clouds):.0e}")
    except AssertionError as error:
        print(f"{name}: {error}")

# %%
# Nearly, for all rotations
# -------------------------
# For other rotations the grid only comes close, the closer the finer it is. The curve shows how
# far features move, by the angle of rotations about random axes.

import matplotlib.pyplot as plt

from csgnn_dgl.testing import equivariance_curve

figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name in ("coordinates", "pointnet", "csgnn"):
    angles = (1, 3, 10, 30, 90, 180)
    curve = equivariance_curve(functions[name], clouds, angles=angles, rotations=3)
    axes.plot(curve["angle"], curve["mean"], marker="o", label=name)
axes.set(xscale="log", xlabel="angle of rotation [degrees]", ylabel="relative change of features")
axes.legend(frameon=False)
axes.grid(alpha=0.3)
plt.show()

# %%
# A layer by itself
# -----------------
# Site features should move with the sites. If a layer of yours breaks this, nothing built on it
# is invariant. The second layer looks at the number of a node, which no rotation keeps.

from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.nn import IntraConv
from csgnn_dgl.testing import assert_layer_equivariant

grid = ConcentricGrid(level=1, n_spheres=3)
feat = torch.rand(grid.num_nodes(), 2, 4, dtype=torch.float64)
error = assert_layer_equivariant(IntraConv(4, 8).double(), feat, grid)
print(f"IntraConv: equivariant, error {error:.0e}")


class Numbered(torch.nn.Module):
    def forward(self, graph, feat):
        return feat * torch.arange(graph.num_nodes())[:, None, None]


try:
    assert_layer_equivariant(Numbered(), feat, grid)
except AssertionError as error:
    print(f"Numbered: {error}")

# %%
# In your own tests
# -----------------
# A model that keeps the contract of this package inherits all checks: batches, order, rotations,
# gradients, training, resuming, export. Say what the model claims, and pytest tells whether it is
# true. See :doc:`/models`.
#
# .. code-block:: python
#
#     from csgnn_dgl.testing import ShapeModelSuite
#
#
#     class TestRelationNet(ShapeModelSuite):
#         model = "my_models:RelationNet"
#         hypers = {"level": 1, "width": 8}
#         symmetry = "icosahedral"
