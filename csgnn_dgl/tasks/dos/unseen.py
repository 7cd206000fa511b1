"""Elements that a model was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

from ase import Atoms
from ase.data import chemical_symbols

from csgnn_dgl.models import AtomModel

__all__ = ["UnseenElementWarning", "UnseenElements", "unknown_elements"]


class UnseenElementWarning(UserWarning):
    """Warns about an element that a model was not trained on."""


def unknown_elements(model: AtomModel, atoms: Atoms, name: str) -> str | None:
    """Describe the problem if the model called ``name`` cannot handle an element of ``atoms``."""
    strange = sorted({int(number) for number in atoms.numbers} - set(model.elements))
    if model.knows_any_element or not strange:
        return None
    names = ", ".join(chemical_symbols[number] for number in strange)
    known = [chemical_symbols[number] for number in model.elements]
    what = (
        f"cannot be told from {known[0]}, the only element that {name} knows"
        if len(known) == 1
        else f"mean nothing to {name}, which knows {' '.join(known)}"
    )
    return f"{names} {what}; choose another model"


class UnseenElements:
    """Notes on elements that a model was not trained on, each element once.

    Parameters
    ----------
    elements
        Atomic numbers that it was trained on.
    name
        Name of the model.

    Examples
    --------
    >>> from ase.build import molecule
    >>> unseen = UnseenElements((1, 8), "tiny")
    >>> unseen.notes(molecule("CH4"))
    ['C was not among the 2 elements that tiny was trained on; tabulated properties describe it']
    >>> unseen.notes(molecule("CH4"))
    []
    """

    def __init__(self, elements: Sequence[int], name: str) -> None:
        self._known, self._name = tuple(elements), name
        self._told: set[int] = set()

    def notes(self, atoms: Atoms) -> list[str]:
        """A sentence for each new element."""
        fresh = sorted({int(n) for n in atoms.numbers} - set(self._known) - self._told)
        self._told.update(fresh)
        if len(self._known) == 1:
            only = chemical_symbols[self._known[0]]
            return [
                f"{chemical_symbols[number]} is treated as {only}, the only element that "
                f"{self._name} knows"
                for number in fresh
            ]
        return [
            f"{chemical_symbols[number]} was not among the {len(self._known)} elements that "
            f"{self._name} was trained on; tabulated properties describe it"
            for number in fresh
        ]
