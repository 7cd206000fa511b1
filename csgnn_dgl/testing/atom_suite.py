"""The tests of a model of atoms, to be inherited. Needs pytest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.mapping import Neighbors, find_neighbors
from csgnn_dgl.models import AtomModel, Hypers
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.evaluate import evaluate
from csgnn_dgl.tasks.dos.predict import predict_files
from csgnn_dgl.tasks.dos.trained import load_dos_model
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.use_config import EvaluateConfig, PredictConfig
from csgnn_dgl.testing.alone import run_alone
from csgnn_dgl.testing.atoms import (
    assert_atom_order_equivariant,
    assert_atoms_rotation_invariant,
    assert_structures_independent,
    assert_supercell_equivariant,
    assert_translation_invariant,
)
from csgnn_dgl.testing.compare import assert_close, relative_error
from csgnn_dgl.testing.model_suite import Record
from csgnn_dgl.testing.run_suite import EPOCHS, RunSuite
from csgnn_dgl.testing.samples import random_structures, write_dos_folder
from csgnn_dgl.testing.tolerances import TOLERANCES

__all__ = ["AtomModelSuite"]


class AtomModelSuite(RunSuite):
    """Everything that an :class:`~csgnn_dgl.models.AtomModel` has to be, as tests to inherit.

    As :class:`~csgnn_dgl.testing.ShapeModelSuite`; of structures the order of atoms, larger cells,
    places, orientations and other structures of a batch are tried.

    Attributes
    ----------
    elements
        Atomic numbers that the model is made for.
    elements_matter
        Whether it tells elements apart.

    All others are those of :class:`~csgnn_dgl.testing.model_suite.ModelSuite`.

    Examples
    --------
    .. code-block:: python

        from csgnn_dgl.testing import AtomModelSuite

        class TestDistances(AtomModelSuite):
            model = "my_models:Distances"
            symmetry = "so3"
    """

    elements: Sequence[int] = (6, 14)
    elements_matter: bool = True

    domain = "atoms"
    kind = "dos"
    config_class = TrainDOSConfig
    not_random = {  # noqa: RUF012 (declared a class variable by the base)
        "rotate": False,
        "jitter": 0.0,
        "dropout": 0.0,
        "atoms_per_structure": None,
    }

    @property
    def small(self) -> dict[str, Any]:  # type: ignore[override]
        """Options of the suite's trainings."""
        return {
            "epochs": EPOCHS,
            "batch_size": 4,
            "hidden": [8],
            "dropout": 0.1,
            "jitter": 0.01,
            "rotate": True,
            "calibrate": True,
            "atoms_per_structure": 1 if self.made().local else None,
            "learning_rate": 0.01,
            "validation_fraction": 0.25,
            "accelerator": "cpu",
            "progress": False,
        }

    def construct(self, hypers: Hypers) -> AtomModel:
        """The model of these options."""
        model: AtomModel = self.model_class(hypers, tuple(self.elements))
        return model

    def find(self, *structures: Any) -> Neighbors:
        """Neighbours of structures, as far as the model looks."""
        return find_neighbors(structures, self.made().cutoff)

    def inputs(self, *, seed: int = 0) -> Neighbors:
        """Neighbours of some structures, float64."""
        return self.find(*random_structures(self.elements, seed=seed))

    def differentiable_part(self, inputs: Any) -> tuple[Tensor, Callable[[Tensor], Any]]:
        """The places of neighbours."""
        return inputs.displacements, lambda places: replace(inputs, displacements=places)

    def rows(self, inputs: Any) -> int:
        """How many atoms there are."""
        return int(inputs.n_atoms)

    def cast(self, inputs: Any, dtype: torch.dtype) -> Any:
        """Displacements in another type."""
        return inputs.to("cpu", dtype)

    def tensors(self, inputs: Any) -> list[Tensor]:
        """All that neighbours are made of."""
        return [value for value in vars(inputs).values() if isinstance(value, Tensor)]

    # What must not matter

    def test_structures_do_not_see_each_other(self, record_property: Record) -> None:
        model = self.made()
        structures = random_structures(self.elements)
        record_property(
            "error of batches", assert_structures_independent(model, structures, model.cutoff)
        )

    def test_order_of_atoms(self, record_property: Record) -> None:
        model = self.made()
        errors = [
            assert_atom_order_equivariant(model, atoms, model.cutoff)
            for atoms in random_structures(self.elements)
        ]
        record_property("error of permutations", max(errors))

    def test_cell_and_place(self, record_property: Record) -> None:
        model = self.made()
        crystal, *clusters = random_structures(self.elements)
        error = assert_supercell_equivariant(model, crystal, model.cutoff, repeat=(2, 1, 1))
        record_property("error of supercells", error)
        for atoms in (crystal, *clusters):
            assert_translation_invariant(model, atoms, model.cutoff)

    @torch.no_grad()
    def test_rotations(self, record_property: Record) -> None:
        model = self.made()
        found = self.find(*random_structures(self.elements)[1:])
        reference = model(found)
        axis = torch.tensor([0.36, 0.48, 0.8], dtype=torch.float64)
        turn = _turn(axis, np.deg2rad(40)).expand(found.n_atoms, 3, 3)
        typical = relative_error(model(found.rotated(turn)), reference)
        record_property("error of a rotation by 40 degrees", typical)
        invariant = self.symmetry == "so3"
        assert self.model_class.invariant == invariant, (
            f"invariant is {self.model_class.invariant}, but symmetry is {self.symmetry!r}"
        )
        if invariant:
            record_property(
                "error of rotations", assert_atoms_rotation_invariant(model, found, rotations="so3")
            )
            return
        assert typical > self.least_change, (
            f"a rotation by 40 degrees changes descriptors by {typical:.1e} only: is symmetry "
            f"'so3'?"
        )
        if self.symmetry == "icosahedral":
            record_property(
                "error of icosahedral rotations", assert_atoms_rotation_invariant(model, found)
            )
            return
        with pytest.raises(AssertionError):
            assert_atoms_rotation_invariant(model, found, tolerance=self.least_change)

    @torch.no_grad()
    def test_elements(self) -> None:
        model = self.made()
        atoms = random_structures(self.elements)[0]
        found = model(self.find(atoms))
        other = atoms.copy()
        other.numbers = np.roll(atoms.numbers, 1)
        changes = relative_error(model(self.find(other)), found)
        if self.elements_matter and len(self.elements) > 1:
            assert changes > self.least_change, "elements do not matter"
        if model.knows_any_element:
            other.numbers[0] = 79 if 79 not in self.elements else 47
            assert bool(model(self.find(other)).isfinite().all())

    @torch.no_grad()
    def test_atoms_without_neighbours(self) -> None:
        model = self.made()
        atoms = random_structures(self.elements)[2]
        apart = atoms.copy()
        apart.positions *= 100
        assert bool(model(self.find(apart)).isfinite().all())
        # Among others, too.
        both = model(self.find(apart, atoms))
        assert_close(both[: len(apart)], model(self.find(apart)), "atoms alone see others")

    @torch.no_grad()
    def test_pieces_of_structures(self) -> None:
        model, found = self.made(), self.inputs()
        if model.local:
            pieces = torch.cat([model(piece) for piece in found.chunks(2)])
            assert_close(pieces, model(found), "a local model sees more than its neighbours")

    # Training and use

    def write_data(self, folder: Path) -> Path:
        """Crystals of these elements."""
        return write_dos_folder(folder, self.elements)

    def files_for_testing(self, data: Path) -> list[Path]:
        """Crystals for testing."""
        return [data / "test.extxyz"]

    def load(self, weights: Path, model: Any) -> Any:
        """The trained model of densities of states."""
        return load_dos_model(weights, model=model)

    def answers(self, trained: Any) -> Tensor:
        """Curves of structures."""
        return torch.from_numpy(trained.predict(random_structures(self.elements)))

    def check_prediction_against_evaluation(self, run: Path, data: Path, name: str) -> float:
        """Errors of curves and band energies of the same votes."""
        options: dict[str, Any] = {"model": name, "progress": False, "votes": 3, "seed": 5}
        evaluated = evaluate(run, EvaluateConfig(**options)).structures
        _, results = predict_files(run, self.files_for_testing(data), PredictConfig(**options))
        predicted = [value for result in results for value in result.values]
        assert len(predicted) == len(evaluated)
        pairs = {
            "dos_mae": [value.error for value in predicted],
            "predicted_band_energy": [value.band_energy for value in predicted],
        }
        errors = [
            assert_close(
                torch.tensor(values, dtype=torch.float64),
                torch.tensor(evaluated[column].tolist(), dtype=torch.float64),
                f"{column} of evaluation and prediction disagree",
                tolerance=TOLERANCES[torch.float32],
            )
            for column, values in pairs.items()
        ]
        return max(errors)

    def test_large_structures(self, run: RunDirectory) -> None:
        """They are worked on in pieces where that is allowed, and whole where it is not."""
        trained = self.load(run.path, self.model)
        crystal = random_structures(self.elements)[0]
        expected = trained.describe([crystal])[0]
        assert expected.shape == (len(crystal), trained.features)
        for value in (trained.describe([crystal], chunk=3)[0], trained.describe([crystal] * 2)[1]):
            assert_close(
                torch.from_numpy(value),
                torch.from_numpy(expected),
                "descriptors depend on how structures are cut",
                tolerance=TOLERANCES[torch.float32],
            )

    def test_some_atoms_of_a_structure(self, data: Path, tmp_path: Path) -> None:
        if not self.made().local:
            with pytest.raises(ConfigError, match="passes messages between atoms"):
                self.train(data, tmp_path / "run", atoms_per_structure=1)
            assert not (tmp_path / "run").exists(), "a refused run leaves nothing behind"

    def test_exports(self, run: RunDirectory, tmp_path: Path, record_property: Record) -> None:
        if self.made().local:
            super().test_exports(run, tmp_path, record_property)
            return
        with pytest.raises(ConfigError, match="passes messages between atoms"):
            self.target.export(run.path, tmp_path / "model.pt2", self.model)

    def check_program(self, program: Path, trained: Any) -> float:
        """Descriptors and curves of other structures than it was traced with."""
        found = self.cast(self.inputs(), torch.float32)
        inputs = (found.displacements, found.centres, found.numbers, found.centre_numbers)
        (descriptors, curves), header = run_alone(program, inputs)
        assert header["model"]["elements"] == list(self.elements)
        what = "the program gives other descriptors"
        error = assert_close(descriptors, trained.model.describe(found), what)
        what = "the program gives other curves"
        return max(error, assert_close(curves, trained.model.per_atom(found), what))


def _turn(axis: Tensor, angle: float) -> Tensor:
    """The rotation about a unit vector by an angle in radians (Rodrigues' formula)."""
    x, y, z = axis.tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    identity = torch.eye(3, dtype=torch.float64)
    return identity + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
