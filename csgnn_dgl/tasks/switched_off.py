"""Layers that a training has switched off."""

from __future__ import annotations

from torch import nn

__all__ = ["layers_switched_off", "switched_off_warning"]

# Scale of a norm below which a channel counts as lost. It begins as 1.
_LOST = 1e-4
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)
# A layer with a larger share of lost channels is switched off.
_SHARE = 0.5


def layers_switched_off(model: nn.Module) -> tuple[list[str], int]:
    """Norms of which most channels have a scale near zero, by name, and the number of all norms.

    With Adam, a weight decay that is strong beside the gradients drives the scales of norms to zero
    step by step. Then the layers before a norm have no gradients, and do not come back.

    Parameters
    ----------
    model
        A model after its training.

    Examples
    --------
    >>> layers = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    >>> _ = nn.init.constant_(layers[2].weight, 1e-9)
    >>> layers_switched_off(layers)
    (['2'], 2)
    """
    norms = {
        name: module.weight.detach()
        for name, module in model.named_modules()
        if isinstance(module, _NORMS) and module.weight is not None
    }
    lost = {name: (scale.abs() < _LOST).float().mean().item() for name, scale in norms.items()}
    return [name for name, share in lost.items() if share > _SHARE], len(norms)


def switched_off_warning(model: nn.Module, weight_decay: float) -> list[str]:
    """A warning if a training has switched off layers; an empty list otherwise."""
    names, total = layers_switched_off(model)
    if not names:
        return []
    cause = (
        f"give a smaller --weight-decay than {weight_decay:g} (0: none)"
        if weight_decay
        else "give a smaller --learning-rate"
    )
    return [
        f"{len(names)} of the {total} norms of the model, such as {names[0]}, have lost more than "
        f"half of their channels (scales below {_LOST:g}): these layers add hardly anything to the "
        f"result. Train anew, and {cause}"
    ]
