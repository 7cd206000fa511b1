"""Weights with a header that says what they are: one safetensors file, nothing executable."""

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
from torch import Tensor, nn

from csgnn_dgl._files import atomic_write
from csgnn_dgl.errors import CheckpointError

__all__ = [
    "SCHEMA_VERSION",
    "Header",
    "differences",
    "load_into",
    "load_weights",
    "read_kind",
    "save_weights",
]

SCHEMA_VERSION = 1
_KEY = "csgnn_dgl"


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
    """What must be known to use weights.

    Parameters
    ----------
    kind
        Kind of model, such as ``"classifier"``.
    model
        Sizes of the model, plain values.
    class_names
        Name of each class.
    data
        What it was trained on: name, fingerprint, up axis, points per cloud, centring.
    schema
        Version of this header.
    versions
        Libraries at the time.
    """

    kind: str
    model: Mapping[str, Any]
    class_names: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA_VERSION
    versions: Mapping[str, str] = field(default_factory=_versions)


def save_weights(path: Path, state: Mapping[str, Tensor], header: Header) -> None:
    """Write weights and header; equal content gives equal bytes.

    Raises
    ------
    ResourceError
        It cannot be written; an older file stays as it was.
    """
    tensors = {
        name: tensor.detach().to("cpu").contiguous().clone() for name, tensor in state.items()
    }
    text = json.dumps(asdict(header), sort_keys=True)
    with atomic_write(path, "wb") as file:
        file.write(safetensors.torch.save(tensors, metadata={_KEY: text}))


def load_weights(path: Path, kind: str) -> tuple[Header, dict[str, Tensor]]:
    """Read weights of a ``kind`` of model and their header.

    Raises
    ------
    CheckpointError
        No such file, not such a file, damaged, of another schema or another kind of model.
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
    header = _parse_header(path, text)
    if header.kind != kind:
        raise CheckpointError(
            f"{path} holds a model of the kind {header.kind!r}, but this command needs one of the "
            f"kind {kind!r}"
        )
    return header, state


def read_kind(path: Path) -> str:
    """Kind of model that a run directory or a file of weights holds.

    Raises
    ------
    CheckpointError
        As :func:`load_weights`, and a folder without weights.
    """
    file = path / "model.safetensors" if path.is_dir() else path
    try:
        with safetensors.safe_open(file, framework="pt") as content:
            text = (content.metadata() or {}).get(_KEY)
    except (safetensors.SafetensorError, OSError):
        text = None
    if text is None:
        # The full reading says what is wrong.
        header, _ = load_weights(file, "any")
        return header.kind
    return _parse_header(file, text).kind


def _parse_header(path: Path, text: str) -> Header:
    try:
        content = json.loads(text)
        schema = content["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the header of {path} cannot be read ({error!r})") from error
    if schema != SCHEMA_VERSION:
        newer = isinstance(schema, int) and schema > SCHEMA_VERSION
        advice = "upgrade csgnn-dgl" if newer else "train again with this version"
        raise CheckpointError(
            f"{path} has schema version {schema!r}, and this version of csgnn-dgl reads version "
            f"{SCHEMA_VERSION}; {advice}"
        )
    known = {f.name for f in fields(Header)}
    missing = {"kind", "model"} - content.keys()
    if missing or content.keys() - known:
        raise CheckpointError(
            f"the header of {path} lacks {sorted(missing)} and has the unknown keys "
            f"{sorted(content.keys() - known)}; it was not written by this version of csgnn-dgl"
        )
    return Header(**{**content, "class_names": tuple(content.get("class_names", ()))})


def load_into(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy ``state``, read from ``path``, into a model made from the same header.

    Raises
    ------
    CheckpointError
        Names or shapes disagree; the first few are listed.
    """
    if wrong := differences(model, state):
        raise CheckpointError(
            f"the weights in {path} do not fit the model their header describes: {wrong}"
        )
    model.load_state_dict(dict(state))


def differences(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """The first few names and shapes in which ``state`` differs from what ``model`` has.

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
