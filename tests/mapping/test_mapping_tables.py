"""Tables: one copy per device and type, cast from the original, safe from harm."""

from __future__ import annotations

import copy

import numpy as np
import torch

from csgnn_dgl.mapping.tables import Tables

CPU = torch.device("cpu")


def test_casts_from_the_original() -> None:
    tables = Tables(third=np.array([1 / 3]), ids=np.array([2**40]))
    assert tables.get("third", CPU, torch.float16).dtype == torch.float16
    assert tables.get("third", CPU, torch.float64).item() == 1 / 3
    assert tables.get("ids", CPU, torch.float32).item() == 2**40


def test_same_tensor_again() -> None:
    tables = Tables(a=np.ones(3))
    assert tables.get("a", CPU, torch.float64) is tables.get("a", CPU, torch.float64)


def test_original_is_out_of_reach() -> None:
    array = np.ones(3)
    Tables(a=array).get("a", CPU, torch.float64).zero_()
    assert (array == 1).all()


def test_copies_are_not_inherited() -> None:
    tables = Tables(a=np.ones(3))
    table = tables.get("a", CPU, torch.float64)
    other = copy.deepcopy(tables).get("a", CPU, torch.float64)
    assert other is not table
    assert torch.equal(other, table)


def test_made_in_inference_mode_fit_for_training() -> None:
    tables = Tables(a=np.ones(3))
    with torch.inference_mode():
        table = tables.get("a", CPU, torch.float32)
    assert not table.is_inference()
