"""Weights with a header that describes them, in one safetensors file without executable code."""

from __future__ import annotations

import hashlib
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
from csgnn_dgl._foreign import check_file, excerpt, quoted, reading
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.tasks.schemas import SCHEMA_VERSION, upgrade_weights

__all__ = [
    "Header",
    "differences",
    "infinite",
    "load_into",
    "load_weights",
    "read_kind",
    "save_weights",
]

_KEY = "csgnn_dgl"
# Entry of the header with the SHA-256 of all its other entries and of the tensors.
_CHECKSUM = "checksum"


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
    # As JSON has it: text as keys, lists in place of tuples.
    content = json.loads(json.dumps(asdict(header)))
    content[_CHECKSUM] = _checksum(content, tensors)
    text = json.dumps(content, sort_keys=True)
    with atomic_write(path, "wb") as file:
        file.write(safetensors.torch.save(tensors, metadata={_KEY: text}))


def _checksum(content: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """SHA-256 of a header without its checksum, and of all tensors."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name].contiguous()
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def load_weights(path: Path, kind: str) -> tuple[Header, dict[str, Tensor]]:
    """Read weights of a ``kind`` of target, and their header.

    Raises
    ------
    CheckpointError
        The file does not exist, is not a file of weights, is damaged, has another schema or
        another kind, or holds NaN or infinity.
    """
    if not path.exists():
        raise CheckpointError(
            f"there are no weights {path}; a run writes them at the end of its first epoch"
        )
    content, state = _read(path, with_tensors=True)
    assert state is not None
    _check_checksum(path, content, state)
    header, state = _parse(path, content, state)
    if header.kind != kind:
        raise CheckpointError(
            f"{path} holds a model of the kind {quoted(header.kind)}, but this command "
            f"needs one of the kind {kind!r}"
        )
    if wrong := infinite(state):
        raise CheckpointError(
            f"{path} holds weights that are NaN or infinite: {wrong}; restore it, or train again "
            f"with a lower --learning-rate"
        )
    return header, state


def read_kind(path: Path) -> str:
    """Read the kind of target from a file of weights.

    Raises
    ------
    CheckpointError
        As in :func:`load_weights`.
    """
    if not path.exists():
        load_weights(path, "any")  # raises an error that says when weights are written
    return _parse(path, _read(path, with_tensors=False)[0], {})[0].kind


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the header's JSON, and the tensors if they are asked for."""
    check_file(path, CheckpointError)
    with (
        reading(
            path,
            CheckpointError,
            "it is damaged or not a safetensors file; restore it or train again",
        ),
        safetensors.safe_open(path, framework="pt") as file,
    ):
        text = (file.metadata() or {}).get(_KEY)
        names = list(file.keys()) if with_tensors else []
        state = {name: file.get_tensor(name) for name in names}
    if text is None:
        raise CheckpointError(
            f"{path} holds tensors, but not the header that csgnn-dgl writes; give a run directory "
            f"or a model.safetensors made by csgnn-dgl train"
        )
    with reading(f"the header of {path}", CheckpointError):
        content = json.loads(text)
    if not isinstance(content, dict):
        raise CheckpointError(f"the header of {path} does not hold a JSON object")
    return content, state


def _check_checksum(path: Path, content: dict[str, Any], state: Mapping[str, Tensor]) -> None:
    """Remove the checksum from ``content`` and compare it; earlier versions wrote none."""
    if _CHECKSUM not in content:
        return
    written = content.pop(_CHECKSUM)
    if written != _checksum(content, state):
        raise CheckpointError(
            f"{path} is damaged: its weights and its header are not those that were written (their "
            f"SHA-256 differs); restore it or train again"
        )


def infinite(state: Mapping[str, Any]) -> str:
    """List the first few tensors that hold NaN or infinity.

    Examples
    --------
    >>> infinite({"weight": torch.tensor([1.0, float("nan")]), "bias": torch.zeros(1)})
    'weight (1 of 2 numbers)'
    """
    wrong = []
    for name, tensor in state.items():
        if not (isinstance(tensor, Tensor) and (tensor.is_floating_point() or tensor.is_complex())):
            continue
        # Numbers of 8 bits have no isfinite.
        values = tensor.float() if tensor.element_size() == 1 else tensor
        count = int((~values.isfinite()).sum())
        if count:
            wrong.append(f"{excerpt(name)} ({count} of {tensor.numel()} numbers)")
    more = f" and {len(wrong) - 3} more tensors" if len(wrong) > 3 else ""
    return ", ".join(wrong[:3]) + more


def _parse(
    path: Path, content: dict[str, Any], state: dict[str, Tensor]
) -> tuple[Header, dict[str, Tensor]]:
    """Check the header, and return it with the tensors under their present names."""
    content.pop(_CHECKSUM, None)
    schema = content.get("schema")
    if type(schema) is not int or not 1 <= schema <= SCHEMA_VERSION:
        newer = isinstance(schema, int) and schema > SCHEMA_VERSION
        written = content.get("versions")
        by = excerpt(written.get("csgnn-dgl") or "") if isinstance(written, dict) else ""
        advice = f"upgrade csgnn-dgl{f' to {by} or later' if by else ''}"
        raise CheckpointError(
            f"{path} has schema version {quoted(schema)}, and this version of csgnn-dgl "
            f"reads versions 1 to {SCHEMA_VERSION}; "
            f"{advice if newer else 'train again with this version'}"
        )
    try:
        content, state = upgrade_weights(content, state, schema)
    # Whatever an entry of another type or a missing one causes.
    except Exception as error:
        raise CheckpointError(
            f"the header of {path} does not follow schema version {schema}: "
            f"{excerpt(error if isinstance(error, ValueError) else repr(error))}"
        ) from error
    known = {f.name for f in fields(Header)}
    missing = {"kind", "model"} - content.keys()
    if missing or content.keys() - known:
        raise CheckpointError(
            f"the header of {path} lacks {sorted(missing)} and has the unknown keys "
            f"{excerpt(sorted(content.keys() - known))}; it was not written by this version of "
            f"csgnn-dgl"
        )
    try:
        return TypeAdapter(Header).validate_python(content), state
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise CheckpointError(
            f"the header of {path} is not one of schema version {schema} "
            f"({excerpt('; '.join(wrong[:4]))})"
        ) from error


def load_into(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy ``state``, read from ``path``, into a model made from the same header.

    Raises
    ------
    CheckpointError
        Names, shapes or kinds of numbers disagree (the message lists the first few), or a number is
        too large for the model's precision.
    """
    if wrong := differences(model, state):
        raise CheckpointError(
            f"the weights in {path} do not fit the model their header describes: {wrong}"
        )
    model.load_state_dict(dict(state))
    if wrong := infinite(model.state_dict()):
        raise CheckpointError(
            f"the weights in {path} are too large for the precision of the model: {wrong}; train "
            f"again"
        )


def differences(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """List the first few names and shapes in which ``state`` differs from ``model``.

    Examples
    --------
    >>> differences(nn.Linear(2, 3), {"weight": torch.zeros(3, 4), "bias": torch.zeros(3)})
    'weight has shape (3, 4) instead of (3, 2)'
    """
    own = model.state_dict()
    wrong = [f"{name} is missing" for name in own if name not in state]
    wrong += [f"{excerpt(name)} is not part of the model" for name in state if name not in own]
    wrong += [
        f"{name} is not a tensor" for name in own if name in state and not _is_tensor(state[name])
    ]
    wrong += [
        f"{name} has shape {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if _is_tensor(state.get(name)) and state[name].shape != tensor.shape
    ]
    # Floating-point numbers may have another precision; all other kinds would be cut silently.
    wrong += [
        f"{name} holds {state[name].dtype} instead of {tensor.dtype}"
        for name, tensor in own.items()
        if _is_tensor(state.get(name))
        and state[name].dtype != tensor.dtype
        and not (state[name].is_floating_point() and tensor.is_floating_point())
    ]
    more = f" and {len(wrong) - 4} more" if len(wrong) > 4 else ""
    return "; ".join(wrong[:4]) + more


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)
