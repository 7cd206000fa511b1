"""Find out what a file holds, and make its page."""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from pathlib import Path

from csgnn_dgl._foreign import check_file, open_text
from csgnn_dgl.datasets.readers import find_reader, readers
from csgnn_dgl.datasets.shapes.shape_files import is_shape_file
from csgnn_dgl.errors import ConfigError, CSGNNError
from csgnn_dgl.models.registry import Domain
from csgnn_dgl.tasks.output_files import check_output
from csgnn_dgl.tasks.shipped import find_weights
from csgnn_dgl.tasks.targets import Target, target_of
from csgnn_dgl.viewing.config import ViewConfig

__all__ = ["ENDINGS", "Viewed", "view_file"]

#: Endings of pages.
ENDINGS = (".html", ".htm")
_WITH_MODEL = ("votes",)
_ATOMS = ("electrons", "occupancy", "frame", "cutoff")
_SHAPES = ("points",)
_SPHERES = ("level", "n_spheres", "cutoff", "points")
# These endings are those of tables of points, and of structures.
_BOTH = (".xyz",)


@dataclass(frozen=True)
class Viewed:
    """A page that was written.

    Parameters
    ----------
    path
        The page.
    lines
        What it shows, in lines to print.
    size
        Its size [bytes].
    """

    path: Path
    lines: list[str]
    size: int


def view_file(file: Path, config: ViewConfig) -> Viewed:
    """Write a page that shows the shape or the structure in a file.

    With a model, it also shows the prediction, which is that of ``csgnn-dgl predict``.

    Parameters
    ----------
    file
        A mesh, a cloud, or a structure file.
    config
        Model, page, and what to show.

    Raises
    ------
    DataError
        The file is missing, or holds no points or atoms that can be used.
    CheckpointError
        There is no such model, or it cannot be used.
    ConfigError
        The model is of another kind than the file, an option has no effect, or the page cannot be
        called so.
    ResourceError
        The page cannot be written. An older file stays unchanged.
    """
    path = Path(f"{file.stem}.html") if config.output is None else config.output
    inputs = [file] if config.model is None else [file, config.model]
    check_output(path, ENDINGS, inputs)
    check_file(file)
    weights = None if config.model is None else find_weights(config.model)
    target = None if weights is None else target_of(weights)
    domain = _domain(file, config, target)
    _refuse_idle(config, domain, target)
    module = importlib.import_module(f"csgnn_dgl.viewing.{domain}.view")
    lines, size = module.write_view(file, weights, config, path)
    return Viewed(path, lines, size)


def _domain(file: Path, config: ViewConfig, target: Target | None) -> Domain:
    """What the file holds; with a model, what the model takes."""
    possible = possible_domains(file)
    if target is None:
        return config.kind or possible[0]
    config.refuse_unused(("kind",), f"{config.model} {target.does}")
    if target.domain not in possible:
        holds = {"shapes": "a mesh or a cloud", "atoms": "a structure of atoms"}[possible[0]]
        raise ConfigError(
            f"{config.model} {target.does}, but {file} is {holds} by its name; name a model of "
            f"{possible[0]} with --model, or leave it out"
        )
    return target.domain


def possible_domains(file: Path) -> tuple[Domain, ...]:
    """What a file may hold, the likelier first.

    Examples
    --------
    >>> possible_domains(Path("chair.off")), possible_domains(Path("salt.cif"))
    (('shapes',), ('atoms',))
    """
    own = find_reader(file, readers("structure file", ())) is not None
    if not is_shape_file(file):
        return ("atoms",)
    if file.suffix.lower() not in _BOTH:
        return ("shapes", "atoms") if own else ("shapes",)
    return ("atoms", "shapes") if own or _names_elements(file) else ("shapes", "atoms")


def _names_elements(file: Path) -> bool:
    """Whether the rows of an .xyz file begin with letters, as those of atoms do."""
    with contextlib.suppress(CSGNNError, OSError, UnicodeError), open_text(file) as lines:
        for _ in range(2):
            next(lines, "")
        return next(lines, "").strip()[:1].isalpha()
    return False


def _refuse_idle(config: ViewConfig, domain: Domain, target: Target | None) -> None:
    """Refuse options that mean nothing for this file, or without a model."""
    others = _ATOMS if domain == "shapes" else _SHAPES
    holds = {"shapes": "a shape", "atoms": "atoms"}[domain]
    config.refuse_unused(others, f"the file holds {holds}")
    if target is None:
        config.refuse_unused((*_WITH_MODEL, "electrons", "own_model"), "there is no --model")
