"""Start a training from the weights of another one."""

from __future__ import annotations

from typing import Any

from torch import nn

from csgnn_dgl._foreign import quoted
from csgnn_dgl.errors import CheckpointError, ConfigError
from csgnn_dgl.models.hypers import Hypers
from csgnn_dgl.tasks.shipped import find_weights, weights_file
from csgnn_dgl.tasks.weights import load_into, load_weights, split_state

__all__ = ["model_of_weights", "start_from"]

# Beginning of the names of a network's tensors that belong to its model, not to its head.
_MODEL = "model."
# Number of options that a message lists.
_LISTED = 5


def model_of_weights(weights: str, kind: str) -> dict[str, Any]:
    """Name and options of the model in a run, a file, or a shipped model: ``model``, ``hypers``.

    Raises
    ------
    CheckpointError
        There are no such weights, or they are of another kind.
    """
    file = weights_file(find_weights(weights))
    header, _ = load_weights(file, kind)
    name, hypers = header.model.get("name"), header.model.get("hypers")
    if not isinstance(name, str) or not isinstance(hypers, dict):
        raise CheckpointError(
            f"the header of {file} has {quoted(name)} in place of a model's name and its options"
        )
    return {"model": name, "hypers": dict(hypers)}


def start_from(network: nn.Module, weights: str, *, kind: str, model: str, hypers: Hypers) -> None:
    """Copy the weights of a model into the model of a network; its head stays as it is.

    Parameters
    ----------
    network
        A model with its head, untrained.
    weights
        A run, a file of weights, or a shipped model by name.
    kind
        Kind of target that the weights must have.
    model, hypers
        Name of the network's model, and its options.

    Raises
    ------
    CheckpointError
        There are no such weights, they are damaged, or of another kind.
    ConfigError
        They belong to another model, or to the same with other options; the message names what
        differs.
    """
    found = model_of_weights(weights, kind)
    if found["model"] != model:
        raise ConfigError(
            f"init_from names {weights}, whose model is {quoted(found['model'])}, but {model} is "
            f"to be trained; leave out --model, or name weights of {model}"
        )
    # Options that did not exist yet when the weights were written had their defaults.
    theirs = type(hypers)(**found["hypers"]).model_dump(mode="json")
    own = hypers.model_dump(mode="json")
    different = [name for name in own if own[name] != theirs[name]]
    if different:
        listed = "; ".join(
            f"{name} is {quoted(theirs[name])} there and {quoted(own[name])} here"
            for name in different[:_LISTED]
        )
        more = f"; and {len(different) - _LISTED} more" if len(different) > _LISTED else ""
        raise ConfigError(
            f"init_from names {weights}, whose model has other options: {listed}{more}. Leave "
            f"these options out: they come from the weights"
        )
    file = weights_file(find_weights(weights))
    state, _ = split_state(load_weights(file, kind)[1])
    own_part = {k[len(_MODEL) :]: v for k, v in state.items() if k.startswith(_MODEL)}
    part = network.get_submodule(_MODEL[:-1])
    load_into(part, own_part, file)
