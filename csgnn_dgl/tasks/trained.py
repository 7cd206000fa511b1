"""Load a trained network and its header from a run directory or a file of weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from csgnn_dgl._foreign import excerpt, quoted
from csgnn_dgl.errors import CheckpointError, CSGNNError
from csgnn_dgl.models.registry import Domain as Kind
from csgnn_dgl.models.registry import find_class, permitted_name
from csgnn_dgl.tasks.domain import Domain
from csgnn_dgl.tasks.same_data import identity, same_data
from csgnn_dgl.tasks.shipped import find_weights, weights_file
from csgnn_dgl.tasks.weights import Header, load_into, load_weights, split_state

__all__ = ["Trained", "load_network"]

Network = TypeVar("Network", bound=nn.Module)
# Options of a model that are not sizes, such as seeds, may be this large in any file.
_LARGEST = 1_000_000


@dataclass(frozen=True)
class Trained(Generic[Network]):
    """A trained network with its header.

    Parameters
    ----------
    model
        Model and head, in evaluation mode.
    header
        Description of the model, the head, the data, and entries of the target.
    path
        The file of the weights.
    domain
        The region of the training data; None if the file does not tell.
    arrays
        Arrays of the domain and of the calibration in the header.
    """

    model: Network
    header: Header
    path: Path
    domain: Domain | None = None
    arrays: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str | None:
        """SHA-256 of the data that it was trained on."""
        found = self.header.data.get("fingerprint")
        return None if found is None else str(found)

    def was_trained_on(self, data: Any) -> bool:
        """Whether a data set is the one that it was trained on, up to rounding."""
        if data.fingerprint == self.fingerprint:
            return True  # a sketch of large data takes seconds
        return same_data(self.header.data, identity(data))


def load_network(
    weights: str | Path,
    kind: str,
    domain: Kind,
    build: Callable[[Any, Any, Header], Network],
    *,
    fingerprint: int,
    device: torch.device | str = "cpu",
    model: Any = None,
) -> tuple[Network, Header, Path, Domain | None, Mapping[str, Tensor]]:
    """Load a network of a ``kind``.

    Parameters
    ----------
    weights
        A run directory, a file of weights, or a shipped model by name.
    kind
        Kind that the header must name.
    domain
        Kind of input of the model.
    build
        Makes the untrained network from the model's class, its hypers, and the header.
    fingerprint
        Length of the fingerprints that its domain is of.
    device
        Device of the network.
    model
        The model, if it is one of the user's own: ``module:Class``, or the class.

    Returns
    -------
    tuple
        The network in evaluation mode, the header, the file, the domain if it is known, and all
        arrays beside the network's.

    Raises
    ------
    CheckpointError
        There are no weights; or they are damaged, of a later schema or of another kind; or their
        model is not installed, or is the user's own and was not named.
    ConfigError
        The user's module cannot be imported, or breaks the contract.
    """
    file = weights_file(find_weights(weights))
    header, everything = load_weights(file, kind)
    state, arrays = split_state(everything)
    name = header.model.get("name")
    if not isinstance(name, str):
        raise CheckpointError(f"the header of {file} has {quoted(name)} in place of a model's name")
    name = permitted_name(name, domain, model, str(file))
    found = find_class(domain, name if model is None or isinstance(model, str) else model)
    _check_sizes(file, header, state)
    try:
        network = build(found, found.Hypers(**header.model["hypers"]), header)
    # A network that cannot be built may raise anything, such as torch's error for lack of memory.
    except Exception as error:
        reason = error if isinstance(error, CSGNNError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"the header of {file} does not describe a {kind} with the model {name}: "
            f"{excerpt(reason, 300)}"
        ) from error
    load_into(network, state, file)
    known = None
    if header.domain or arrays:
        try:
            known = Domain.from_parts(header.domain, arrays)
            known.require(fingerprint, grouped=domain == "atoms")
        except ValueError as error:
            raise CheckpointError(
                f"{file} is damaged: {error}; restore it or train again"
            ) from error
    return network.eval().to(device), header, file, known, arrays


def _check_sizes(file: Path, header: Header, state: Mapping[str, Tensor]) -> None:
    """Refuse sizes that the weights do not bear out, before a network of these sizes is made."""
    largest = max(_LARGEST, sum(tensor.numel() for tensor in state.values()))
    for part in (header.model, header.head):
        if (size := _largest_number(part)) > largest:
            raise CheckpointError(
                f"the header of {file} names a size of {size}, but its tensors hold "
                f"{sum(tensor.numel() for tensor in state.values())} numbers; restore the file or "
                f"train again"
            )


def _largest_number(value: Any) -> int:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return max(map(_largest_number, value), default=0)
    return abs(value) if isinstance(value, int) else 0
