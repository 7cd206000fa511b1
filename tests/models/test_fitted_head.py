"""Heads with a last layer for least squares, and curves that rise and fall but are not negative."""

from __future__ import annotations

import pytest
import torch
from ase.build import bulk

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping.neighbors import find_neighbors
from csgnn_dgl.models import AtomCSGNN, AtomCSGNNHypers, CurveHead, DOSModel
from csgnn_dgl.models.fitted_head import FittedHead, rising
from csgnn_dgl.nn.site_norm import Norm


def test_curves_without_negative_values_stay() -> None:
    curves = torch.rand(5, 30, dtype=torch.float64)
    curves[:, 10:15] = 0
    torch.testing.assert_close(rising(curves), curves)


def test_negative_values_are_taken_from_neighbours() -> None:
    """The sum up to a bin moves by less than the largest dip; cutting off would add states."""
    curves = torch.rand(50, 40, dtype=torch.float64) - 0.1
    found = rising(curves)
    assert (found >= -1e-12).all()
    sums = curves.cumsum(dim=1).clamp(min=0)
    dip = (sums.cummax(dim=1).values - sums).max(dim=1).values
    assert ((found.cumsum(dim=1) - sums).abs().max(dim=1).values <= dip / 2 + 1e-12).all()
    # A ripple around zero in a gap adds nothing, where cutting off would add half of it.
    ripple = torch.tensor([[1.0, *[0.1, -0.1] * 10, 1.0]])
    assert abs(float(rising(ripple).sum()) - 2.0) < 1e-5


def test_curves_have_gradients() -> None:
    curves = (torch.rand(3, 12, dtype=torch.float64) - 0.3).requires_grad_()
    assert torch.autograd.gradcheck(rising, curves)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("hidden", [(), (6,), (6, 7)])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_it_takes_over_the_hidden_layers(
    norm: Norm, hidden: tuple[int, ...], dropout: float
) -> None:
    """Its tensors have the names of those of a trained head of the same sizes."""
    head = CurveHead(5, 12, hidden=hidden, dropout=dropout, norm=norm)
    head(torch.rand(9, 5))  # statistics of norms
    known = head.eval().state_dict()
    new = FittedHead(5, 12, hidden=hidden, dropout=dropout, norm=norm).eval()
    own = {name: known[name] for name in new.layers.state_dict(prefix="layers.")}
    new.load_state_dict({**new.state_dict(), **own})
    x = torch.rand(4, 5)
    rows = new.rows(x)
    assert rows.shape == (4, 5 + sum(hidden[-1:]))
    torch.testing.assert_close(rows[:, -5:], x)
    if hidden:
        seen = []
        linear = [layer for layer in head.layers if isinstance(layer, torch.nn.Linear)][-1]
        linear.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        head(x)
        torch.testing.assert_close(rows[:, :-5], seen[0])


def test_not_with_shares() -> None:
    model = AtomCSGNN(AtomCSGNNHypers(level=1, channels=4, base_width=4, features=8), (6,))
    with pytest.raises(ConfigError, match="both apart and fitted"):
        DOSModel(model, 20, apart=True, fitted=True)


def test_invariants_at_the_end_of_the_descriptor() -> None:
    atoms = bulk("C", "diamond", 3.57)
    atoms.rattle(0.1, seed=0)
    neighbors = find_neighbors([atoms], 7.0).to("cpu", torch.float32)
    options = {"level": 1, "channels": 4, "base_width": 4, "features": 8, "invariants": "sums"}
    model = AtomCSGNN(AtomCSGNNHypers(**options, append_invariants=True, members=2), (6,)).eval()
    found = model(neighbors)
    assert model.invariants is not None
    length = 8 + model.invariants.features
    assert found.shape[1] == model.features == 2 * length
    assert model.head_features == (length, length)
    torch.testing.assert_close(found[:, 8:length], model.invariants(neighbors))
    with pytest.raises(ConfigError, match="there are no invariants"):
        AtomCSGNNHypers(append_invariants=True)
