"""Upgrade files of earlier versions when they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SCHEMA_VERSION", "upgrade_checkpoint", "upgrade_config", "upgrade_weights"]

#: Increase this when the header or the names of tensors change, and add to :data:`_UPGRADES`.
SCHEMA_VERSION = 4

Content = dict[str, Any]
State = dict[str, "Tensor"]


def upgrade_weights(content: Content, state: State, schema: int) -> tuple[Content, State]:
    """Upgrade a header and tensors of version ``schema`` to the present version.

    Parameters
    ----------
    content
        The header's JSON.
    state
        Tensors by name.
    schema
        Version of the file, from 1 to :data:`SCHEMA_VERSION`.

    Raises
    ------
    KeyError, TypeError, ValueError
        An entry is missing, or of another type.
    """
    for version in range(schema, SCHEMA_VERSION):
        content, state = _UPGRADES[version](content, state)
    return content, state


# Beginnings of tensor names: in schema 1, and now.
_RENAMED = {
    "classifier": {"encoder.": "model.encoder."},
    "dos": {"atoms.": "model.", "head.": "head.layers.", "smooth.": "head.smooth."},
}


def _renamed(name: str, kind: str, before: str = "") -> str:
    for old, new in _RENAMED[kind].items():
        if name.startswith(before + old):
            return before + new + name[len(before + old) :]
    return name


def _from_1(content: Content, state: State) -> tuple[Content, State]:
    """Upgrade from schema 1, in which every model was CSGNN and was described with its head."""
    kind, old = content["kind"], dict(content["model"])
    if kind == "classifier":
        encoder = dict(old["encoder"])
        encoder["channels"] = encoder.pop("in_channels")
        mapping = {name: old[name] for name in ("radial", "bandwidth", "threshold")}
        model: Content = {"name": "csgnn", "hypers": {**encoder, **mapping}}
        head = {name: old[name] for name in ("hidden", "dropout")}
        if len(content.get("class_names", ())) != old["num_classes"]:
            raise ValueError(
                f"it names {len(content.get('class_names', ()))} classes, but its model has "
                f"{old['num_classes']}"
            )
    elif kind == "dos":
        hypers = dict(old["atoms"])
        if hypers["n_spheres"] == 1:
            del hypers["kernel_size"]  # schema 1 ignored it for one sphere
        model = {"name": "csgnn", "elements": hypers.pop("elements"), "hypers": hypers}
        head = {name: value for name, value in old.items() if name != "atoms"}
    else:
        return {**content, "schema": 2}, state
    content = {**content, "schema": 2, "model": model, "head": head}
    return content, {_renamed(name, kind): tensor for name, tensor in state.items()}


def _from_2(content: Content, state: State) -> tuple[Content, State]:
    """Upgrade from schema 2, which knew neither the domain of a model nor its calibration."""
    return {**content, "schema": 3}, state


def _from_3(content: Content, state: State) -> tuple[Content, State]:
    """Upgrade from schema 3, in which the widths of CSGNN followed another pattern."""
    model = content["model"]
    if content["kind"] == "classifier" and model["name"] == "csgnn":
        model = {**model, "hypers": _with_earlier_widths(model["hypers"])}
    return {**content, "schema": 4, "model": model}, state


_UPGRADES: Mapping[int, Callable[[Content, State], tuple[Content, State]]] = {
    1: _from_1,
    2: _from_2,
    3: _from_3,
}


def _with_earlier_widths(hypers: Content) -> Content:
    """Options of CSGNN of shapes with the widths that ``base_width`` meant up to schema 3.

    The pattern of convolutions was the present one at level 4 and below 3.
    """
    level = hypers.get("level", 4)
    other = level == 3 or level in range(5, 51)
    if hypers.get("intra_widths") is not None or not other:
        return hypers
    widths = [hypers.get("base_width", 32) * 2**step for step in range(level + 1)]
    return {
        **{name: value for name, value in hypers.items() if name != "base_width"},
        "intra_widths": [*([w, w] for w in widths[:-1]), [widths[-1]]],
        "radial_widths": [
            *([2 * w, 2 * w] for w in widths[:-2]),
            *([2 * w] for w in widths[-2:]),
        ],
    }


def upgrade_config(content: Content, domain: str) -> Content:
    """A run's ``config.yaml`` as the present version has it.

    Version 0.1 named no model, and passed over a kernel that has nothing to convolve along. Until
    CSGNN of shapes had the option ``neighbourhood``, its widths followed another pattern.
    """
    if domain == "shapes" and content.get("model", "csgnn") == "csgnn":
        if isinstance(nested := content.get("hypers"), dict):
            known = "neighbourhood" in nested
            return content if known else {**content, "hypers": _with_earlier_widths(nested)}
        return content if "neighbourhood" in content else _with_earlier_widths(content)
    if "model" in content or domain != "atoms" or content.get("n_spheres", 1) != 1:
        return content
    return {name: value for name, value in content.items() if name != "kernel_size"}


def upgrade_checkpoint(checkpoint: Content) -> Content:
    """Upgrade a ``last.ckpt`` to the form of the present version.

    In version 0.1 a checkpoint held the running average beside the weights, and a single module
    instead of a model and its head.
    """
    state = checkpoint["state_dict"]
    kind = "dos" if any(name.startswith("model.atoms.") for name in state) else "classifier"
    if kind == "classifier" and not any(name.startswith("model.encoder.") for name in state):
        return checkpoint
    averaged = "averaged.module."
    present = {
        _renamed(name, kind, "model."): value
        for name, value in state.items()
        if not name.startswith("averaged.")
    }
    if "averaged.n_averaged" not in state:
        return {**checkpoint, "state_dict": present}
    mean = {
        _renamed("model." + name[len(averaged) :], kind, "model."): value
        for name, value in state.items()
        if name.startswith(averaged)
    }
    callbacks = dict(checkpoint.get("callbacks", {}))
    callbacks["Averaging"] = {"latest_update_step": checkpoint["global_step"]}
    return {
        **checkpoint,
        "callbacks": callbacks,
        # Other tensors of the module are not averaged.
        "state_dict": {**present, **mean},
        "current_model_state": present,
        "averaging_state": {"n_averaged": state["averaged.n_averaged"]},
    }
