"""When a step is recorded. That recorded steps are right is checked by benchmarks/gpu.py."""

import copy
import pickle

import pytest
import torch
from torch import nn

from csgnn_dgl.models import Classifier, ShapeCSGNN, ShapeCSGNNHypers
from csgnn_dgl.tasks import cuda_graphs
from csgnn_dgl.tasks.cuda_graphs import _STEPS_BEFORE, CudaGraphs


class Recorder:
    """Stands in for CUDA: counts recordings and replays."""

    def __init__(self):
        self.recorded = self.replayed = 0

    def __call__(self, network, inputs):
        self.recorded += 1

        def replay(given):
            self.replayed += 1
            return network(given)

        return replay


@pytest.fixture
def recorder(monkeypatch):
    found = Recorder()
    monkeypatch.setattr(cuda_graphs, "capture", found)
    monkeypatch.setattr(cuda_graphs, "_on_cuda", lambda inputs: True)
    return found


@pytest.fixture
def network():
    hypers = ShapeCSGNNHypers(level=1, n_spheres=2, channels=2, base_width=4)
    return Classifier(ShapeCSGNN(hypers), 3, hidden=(8,), dropout=0.5)


def points(count=4):
    return torch.rand(count, 20, 3) / 2


def first(network, kind):
    return next(module for module in network.modules() if isinstance(module, kind))


def repeat(graphs, network, times=_STEPS_BEFORE + 2, count=4):
    for _ in range(times):
        graphs(network, points(count))


def test_a_step_is_recorded_after_a_few_of_its_kind(recorder, network):
    graphs = CudaGraphs()
    repeat(graphs, network, _STEPS_BEFORE)
    assert recorder.recorded == 0
    repeat(graphs, network, 5)
    assert (recorder.recorded, recorder.replayed) == (1, 5)


def test_batches_of_another_size_run_as_usual_and_keep_the_graph(recorder, network):
    graphs = CudaGraphs()
    for _ in range(_STEPS_BEFORE):
        repeat(graphs, network, 5)
        graphs(network, points(3))
    assert (recorder.recorded, recorder.replayed) == (1, 5 * _STEPS_BEFORE - _STEPS_BEFORE)


def test_few_graphs_are_kept(recorder, network):
    graphs = CudaGraphs()
    for count in (2, 3, 4, 5):
        repeat(graphs, network, count=count)
    assert recorder.recorded == cuda_graphs._MOST_GRAPHS


def add_hook(network):
    return network.head.register_forward_hook(lambda *_: None)


def add_global_hook(network):
    return nn.modules.module.register_module_forward_hook(lambda *_: None)


@pytest.mark.parametrize("add", [add_hook, add_global_hook])
def test_hooks_fire_in_every_step(recorder, network, add):
    graphs = CudaGraphs()
    repeat(graphs, network)
    before = recorder.replayed
    handle = add(network)
    try:
        repeat(graphs, network)
    finally:
        handle.remove()
    assert recorder.replayed == before
    repeat(graphs, network, 1)
    assert recorder.replayed == before + 1


class Mine(nn.Module):
    def forward(self, feat):
        return feat


class MyModel(ShapeCSGNN):
    pass


def test_modules_of_others_are_called_as_usual(recorder, network):
    graphs = CudaGraphs()
    network.head = nn.Sequential(Mine(), network.head)
    repeat(graphs, network)
    assert recorder.recorded == 0


def test_a_replaced_forward_is_called(recorder, network):
    graphs, called = CudaGraphs(), []
    repeat(graphs, network)
    forward = network.model.mapping.forward
    network.model.mapping.forward = lambda *args, **named: (
        called.append(1) or forward(*args, **named)
    )
    repeat(graphs, network, 4)
    assert len(called) == 4


def test_only_the_model_itself_says_that_it_can_be_recorded():
    hypers = ShapeCSGNNHypers(level=1, n_spheres=2, channels=2, base_width=4)
    assert ShapeCSGNN(hypers).capturable
    assert not MyModel(hypers).capturable
    beside = ShapeCSGNNHypers(
        level=1, n_spheres=2, channels=2, base_width=4, point_features=["planarity"]
    )
    assert not ShapeCSGNN(beside).capturable


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.eval(),
        lambda network: setattr(first(network, nn.Dropout), "p", 0.1),
        lambda network: setattr(first(network, nn.BatchNorm1d), "momentum", 0.5),
        lambda network: network.head.requires_grad_(False),
        lambda network: network.double(),
        lambda network: network.model.encoder.levels[0].eval(),
        lambda network: setattr(
            network.model.encoder, "pool", copy.copy(network.model.encoder.pool)
        ),
        lambda network: network.head.load_state_dict(network.head.state_dict(), assign=True),
    ],
)
def test_what_a_graph_depends_on(recorder, network, change):
    """Frozen statistics, frozen or replaced weights, another type or module: no replay."""
    graphs = CudaGraphs()
    repeat(graphs, network)
    before = recorder.replayed
    change(network)
    if next(network.parameters()).dtype == torch.float64:
        graphs(network, points().double())
    else:
        graphs(network, points())
    assert recorder.replayed == before


def test_without_gradients_nothing_is_recorded(recorder, network):
    graphs = CudaGraphs()
    with torch.no_grad():
        repeat(graphs, network)
    assert recorder.recorded == 0


def test_it_can_be_switched_off(recorder, network, monkeypatch):
    monkeypatch.setenv("CSGNN_CUDA_GRAPHS", "0")
    repeat(CudaGraphs(), network)
    assert recorder.recorded == 0


def test_an_error_of_the_recording_ends_recordings(network, recorder, monkeypatch):
    def fail(network, inputs):
        recorder.recorded += 1
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(cuda_graphs, "capture", fail)
    graphs = CudaGraphs()
    repeat(graphs, network, 10)
    assert recorder.recorded == 1


def test_copies_have_no_graphs(recorder, network):
    graphs = CudaGraphs()
    repeat(graphs, network)
    for other in (copy.deepcopy(graphs), pickle.loads(pickle.dumps(graphs))):
        assert other._graphs == {}


def test_on_a_cpu_nothing_is_recorded(network):
    graphs = CudaGraphs()
    repeat(graphs, network)
    assert not graphs._seen


def test_steps_that_all_differ_are_not_kept(recorder, network):
    graphs = CudaGraphs()
    for _ in range(3 * cuda_graphs._MOST_KINDS):
        network.head.load_state_dict(
            {name: value.clone() for name, value in network.head.state_dict().items()}, assign=True
        )
        graphs(network, points())
    assert recorder.recorded == 0
    assert len(graphs._seen) <= cuda_graphs._MOST_KINDS + 1
