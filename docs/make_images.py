"""Draw ``docs/images/overview.png``: ``python docs/make_images.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from csgnn_dgl.datasets.shapes.solids import solid_points
from csgnn_dgl.grid import ConcentricGrid
from csgnn_dgl.mapping import PointMapping, normalize_clouds
from csgnn_dgl.models import CSGNN, EncoderConfig
from csgnn_dgl.testing import equivariance_curve

IMAGES = Path(__file__).parent / "images"


def error_by_level(level: int, clouds: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Relative change of an untrained encoder's global features under rotation, by angle."""
    torch.manual_seed(0)
    config = EncoderConfig.with_base_width(level, 8, 4, base_width=8)
    mapping = PointMapping(level, 8, 4)
    encoder = CSGNN(config).double()
    with torch.no_grad():
        for _ in range(20):  # lets batch norm's running statistics converge
            encoder(mapping(clouds))
    encoder.eval()
    curve = equivariance_curve(
        lambda points: encoder(mapping(points)), clouds, angles=(1, 2, 5, 10, 20, 45, 90, 180)
    )
    return curve["angle"].to_numpy(), curve["mean"].to_numpy()


def main() -> None:
    """Draw the picture."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    cloud, sites, curves = (
        figure.add_subplot(1, 3, 1, projection="3d"),
        figure.add_subplot(1, 3, 2, projection="3d"),
        figure.add_subplot(1, 3, 3),
    )
    points = solid_points("trefoil", 1024, seed=2)
    cloud.scatter(*points.T, s=3, c=points[:, 2], cmap="viridis")
    cloud.set_title("a cloud of 1,024 points")

    level, n_spheres = 3, 8
    feat = PointMapping(level, n_spheres, 4)(torch.from_numpy(points)[None]).sum(dim=(1, 2))
    position = ConcentricGrid(level, n_spheres).graph().ndata["position"]
    strongest = feat > 0.3
    shown = position[strongest].numpy()
    sites.scatter(*shown.T, s=6, c=np.linalg.norm(shown, axis=1), cmap="plasma")
    sites.set_title(f"on {n_spheres} concentric spheres (level {level}; colour: radius)")
    for axes in (cloud, sites):
        axes.set_box_aspect((1, 1, 1))
        axes.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), zlim=(-0.8, 0.8))
        axes.set(xticklabels=[], yticklabels=[], zticklabels=[])

    families = ("trefoil", "stairs", "cross", "torus")
    clouds = np.stack([solid_points(family, 1024, seed=5) for family in families])
    tensors = normalize_clouds(torch.from_numpy(clouds).double())
    for level, color in ((1, "#cc6677"), (2, "#ddaa33"), (3, "#4477aa"), (4, "#228833")):
        angle, error = error_by_level(level, tensors)
        curves.plot(angle, error, color=color, marker="o", markersize=3, label=f"level {level}")
    curves.set(xscale="log", ylim=(0, None), xlabel="angle of a random rotation [degrees]")
    curves.set_title("relative change of the global features")
    curves.legend(frameon=False)
    curves.grid(alpha=0.3)
    curves.spines[["top", "right"]].set_visible(False)
    IMAGES.mkdir(exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(IMAGES / "overview.png", dpi=80)


if __name__ == "__main__":
    main()
