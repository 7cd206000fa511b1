"""Weights with a header that describes them, in one safetensors file without executable code."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from csgnn_dgl._files import atomic_write
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.tasks.schemas import SCHEMA_VERSION, upgrade_weights

__all__ = [
    "Header",
    "differences",
    "join_state",
    "load_into",
    "load_weights",
    "read_kind",
    "save_weights",
    "split_state",
]

_KEY = "csgnn_dgl"
# Beginning of the names of tensors that describe the training data, not the network.
_DOMAIN = "domain."


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for name in ("csgnn-dgl", "dgl", "lightning"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Header:
    """Description of weights: everything that is needed to use them.

    Parameters
    ----------
    kind
        Kind of target, such as ``"classifier"``.
    model
        The model's ``name``, its ``hypers``, and for models of atoms the ``elements``; plain
        values.
    head
        Sizes of the head on top of it, plain values.
    class_names
        Name of each class.
    data
        The training data: name, source, fingerprint, and entries of the target, such as the up axis
        and points per cloud.
    domain
        The region of the training data (:class:`~csgnn_dgl.tasks.domain.Domain`) without its
        arrays, which are tensors of the file; empty if it is unknown.
    calibration
        How far predictions on held-out data were wrong; its entries belong to the target. Empty if
        it is unknown.
    schema
        Version of this header.
    versions
        Versions of libraries when the weights were written.
    """

    kind: str
    model: Mapping[str, Any]
    head: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    domain: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION
    versions: Mapping[str, str] = field(default_factory=_versions)


def save_weights(path: Path, state: Mapping[str, Tensor], header: Header) -> None:
    """Write weights and header; equal content gives equal bytes.

    Raises
    ------
    ResourceError
        The file cannot be written. An older file stays unchanged.
    """
    tensors = {
        name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in state.items()
    }
    text = json.dumps(asdict(header), sort_keys=True)
    with atomic_write(path, "wb") as file:
        file.write(safetensors.torch.save(tensors, metadata={_KEY: text}))


def load_weights(path: Path, kind: str) -> tuple[Header, dict[str, Tensor]]:
    """Read weights of a ``kind`` of target, and their header.

    Raises
    ------
    CheckpointError
        The file does not exist, is not a file of weights, is damaged, or has another schema or
        another kind.
    """
    if not path.is_file():
        raise CheckpointError(
            f"there are no weights {path}; a run writes them at the end of its first epoch"
        )
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a safetensors file ({error}); restore it or train again"
        ) from error
    if text is None:
        raise CheckpointError(
            f"{path} holds tensors, but not the header that csgnn-dgl writes; give a run directory "
            f"or a model.safetensors made by csgnn-dgl train"
        )
    header, state = _parse(path, text, state)
    if header.kind != kind:
        raise CheckpointError(
            f"{path} holds a model of the kind {header.kind!r}, but this command needs one of the "
            f"kind {kind!r}"
        )
    return header, state


def read_kind(path: Path) -> str:
    """Read the kind of target from a file of weights.

    Raises
    ------
    CheckpointError
        As in :func:`load_weights`.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as content:
            text = (content.metadata() or {}).get(_KEY)
    except (safetensors.SafetensorError, OSError):
        text = None
    if text is None:
        # load_weights raises an error that says what is wrong.
        header, _ = load_weights(path, "any")
        return header.kind
    return _parse(path, text, {})[0].kind


def _parse(path: Path, text: str, state: dict[str, Tensor]) -> tuple[Header, dict[str, Tensor]]:
    """Parse the header, and return it with the tensors under their present names."""
    try:
        content = json.loads(text)
        schema = content["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the header of {path} cannot be read ({error!r})") from error
    if type(schema) is not int or not 1 <= schema <= SCHEMA_VERSION:
        newer = isinstance(schema, int) and schema > SCHEMA_VERSION
        written = content.get("versions")
        by = written.get("csgnn-dgl") if isinstance(written, dict) else None
        advice = f"upgrade csgnn-dgl{f' to {by} or later' if by else ''}"
        raise CheckpointError(
            f"{path} has schema version {schema!r}, and this version of csgnn-dgl reads versions "
            f"1 to {SCHEMA_VERSION}; {advice if newer else 'train again with this version'}"
        )
    try:
        content, state = upgrade_weights(content, state, schema)
    except ValueError as error:
        raise CheckpointError(f"the header of {path} contradicts itself: {error}") from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f"the header of {path} does not follow schema version {schema} ({error!r})"
        ) from error
    known = {f.name for f in fields(Header)}
    missing = {"kind", "model"} - content.keys()
    if missing or content.keys() - known:
        raise CheckpointError(
            f"the header of {path} lacks {sorted(missing)} and has the unknown keys "
            f"{sorted(content.keys() - known)}; it was not written by this version of csgnn-dgl"
        )
    try:
        return TypeAdapter(Header).validate_python(content), state
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise CheckpointError(
            f"the header of {path} is not one of schema version {schema} ({'; '.join(wrong[:4])})"
        ) from error


def load_into(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy ``state``, read from ``path``, into a model made from the same header.

    Raises
    ------
    CheckpointError
        Names or shapes disagree; the message lists the first few.
    """
    if wrong := differences(model, state):
        raise CheckpointError(
            f"the weights in {path} do not fit the model their header describes: {wrong}"
        )
    model.load_state_dict(dict(state))


def split_state(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Separate the tensors of the network from those of its domain, whose prefix is removed.

    Examples
    --------
    >>> network, domain = split_state({"head.bias": torch.ones(1), "domain.mean": torch.ones(2)})
    >>> list(network), list(domain)
    (['head.bias'], ['mean'])
    """
    network = {name: tensor for name, tensor in state.items() if not name.startswith(_DOMAIN)}
    domain = {name[len(_DOMAIN) :]: state[name] for name in state.keys() - network.keys()}
    return network, domain


def join_state(network: Mapping[str, Tensor], domain: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The opposite of :func:`split_state`."""
    return {**network, **{_DOMAIN + name: tensor for name, tensor in domain.items()}}


def differences(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """List the first few names and shapes in which ``state`` differs from ``model``.

    Examples
    --------
    >>> differences(nn.Linear(2, 3), {"weight": torch.zeros(3, 4), "bias": torch.zeros(3)})
    'weight has shape (3, 4) instead of (3, 2)'
    """
    own = model.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in state]
    wrong += [f"{name} is not part of the model" for name in state if name not in own]
    wrong += [
        f"{name} has shape {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    return "; ".join(wrong[:4]) + more
