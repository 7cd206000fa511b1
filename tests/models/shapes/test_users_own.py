"""Models of shapes as a user writes them, in a module of their own: the suite passes on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from csgnn_dgl.testing import ShapeModelSuite

OWN = '''
import dgl
from dgl.nn.pytorch import GraphConv, HeteroGraphConv
from torch import nn

from csgnn_dgl.config import option
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.mapping import PointMapping
from csgnn_dgl.models import Hypers, ShapeModel
from csgnn_dgl.nn import IntraConv, RadialConv


class HexHypers(Hypers):
    width: int = option(8, "Channels.", ge=1)
    level: int = option(1, "Level of the grid.", ge=0)
    site_dropout: float = option(0.0, "Dropout of sites.", ge=0, lt=1)


class HexNet(ShapeModel):
    """Layers of csgnn_dgl on its grid."""

    Hypers = HexHypers

    def __init__(self, hypers):
        super().__init__(hypers)
        self.features = hypers.width
        self.mapping = PointMapping(hypers.level, 3, 2)
        self.grid = ConcentricGrid(hypers.level, 3)
        self.intra = IntraConv(2, hypers.width)
        self.norm = nn.BatchNorm1d(hypers.width)
        self.radial = RadialConv(hypers.width, hypers.width)
        self.drop = nn.Dropout(hypers.site_dropout)

    def forward(self, points):
        graph, sites = self.grid.graph(), self.mapping(points)
        feat = self.intra(graph, sites)
        feat = self.norm(feat.flatten(0, 1)).view_as(feat).relu()
        return self.radial(graph, self.drop(feat)).amax(dim=0)

    def prepare_export(self):
        self.mapping.validate = False


class HeteroHypers(Hypers):
    width: int = 6


class HeteroNet(ShapeModel):
    """DGL's own layers on the graph of the grid."""

    Hypers = HeteroHypers

    def __init__(self, hypers):
        super().__init__(hypers)
        self.features = hypers.width
        self.mapping = PointMapping(1, 3, 2)
        self.grid = ConcentricGrid(1, 3)
        relations = {name: GraphConv(2, hypers.width, norm="right") for name in ("intra", "radial")}
        self.conv = HeteroGraphConv(relations, aggregate="sum")

    def forward(self, points):
        sites = {"vertex": self.mapping(points)}
        return self.conv(self.grid.graph(), sites)["vertex"].relu().amax(dim=0)
'''


@pytest.fixture(scope="module", autouse=True)
def _module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("own")
    (folder / "shapes_of_a_user.py").write_text(OWN, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


class TestHexNet(ShapeModelSuite):
    model = "shapes_of_a_user:HexNet"
    hypers = {"width": 5, "site_dropout": 0.2}  # noqa: RUF012
    hypers_without_dropout = {"site_dropout": 0.0}  # noqa: RUF012
    symmetry = "icosahedral"


class TestHeteroNet(ShapeModelSuite):
    """DGL's layers run where DGL can, hold their parts twice, and are not for torch.export."""

    model = "shapes_of_a_user:HeteroNet"
    symmetry = "icosahedral"
    replaceable = False
    on_gpu = False
    in_bfloat16 = False
    exports = False
    several_processes = False
