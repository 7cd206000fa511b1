"""What is done with many structures or shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from csgnn_dgl import __version__
from csgnn_dgl._files import sha256_file
from csgnn_dgl.datasets.pieces import Frame, Mark, Piece, fingerprint
from csgnn_dgl.datasets.readers import Reader, registered
from csgnn_dgl.errors import CheckpointError
from csgnn_dgl.tasks.shipped import find_weights, shipped_models, weights_file
from csgnn_dgl.tasks.use_config import ManyConfig

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Job", "Rows", "WeightsUsed", "make_job"]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Rows:
    """Result of some frames.

    Parameters
    ----------
    table
        Rows of the frames, in their order; a frame may have several. All columns of a job have the
        same names and types in every table.
    notes
        Warnings that hold for many frames, each to be printed once.
    outside
        Number of frames outside the domain of the model.
    """

    table: pd.DataFrame
    notes: tuple[str, ...] = ()
    outside: int = 0


@dataclass(frozen=True)
class WeightsUsed:
    """The weights that results depend on.

    Parameters
    ----------
    name
        Their name as the user gave it.
    path
        Name of a shipped model, or absolute path of the file.
    sha256
        Checksum of the file.
    """

    name: str
    path: str
    sha256: str

    @classmethod
    def find(cls, weights: str | Path) -> WeightsUsed:
        """Find the weights that a user named.

        Raises
        ------
        CheckpointError
            There are none.
        """
        file = weights_file(find_weights(weights))
        shipped = [model.name for model in shipped_models().values() if model.path == file]
        place = shipped[0] if shipped else str(file.resolve())
        return cls(str(weights), place, sha256_file(file))

    def check(self) -> str:
        """In a worker: the place of the weights, if they are those that the command found.

        Raises
        ------
        CheckpointError
            They are missing there, or others.
        """
        if sha256_file(weights_file(find_weights(self.path))) != self.sha256:
            raise CheckpointError(
                f"the worker processes find other weights for {self.name} than this command; "
                f"install the same version of csgnn-dgl for both, or name a file that both share"
            )
        return self.path


@dataclass(frozen=True)
class Job(Generic[Item]):
    """Something that is done with every frame of some inputs.

    The functions are sent to other processes, by cloudpickle where pickle cannot.

    Parameters
    ----------
    command
        Name of the command, for the manifest.
    output
        Folder for the results, ``NAME.parquet``.
    size
        Number of frames in a partition.
    sources
        Yields the path and the name of each file of the inputs.
    marks
        Yields the places of all frames of these files.
    read
        In a worker: yields the frames of pieces, in their order.
    work
        In a worker: makes rows of some frames, all with an item. If it raises a DataError or lacks
        memory, it is called again for each frame alone.
    sample
        In a worker: frames of which ``work`` makes some row, for the columns of a partition without
        usable frames.
    identity
        What results depend on, as plain values: weights, options, inputs.
    weight
        Size of an item. Items are worked on together until their sizes add up to ``enough``.
    enough
        See ``weight``.
    columns
        Values to keep with each frame, and whether they are numbers or text.
    attributes
        Metadata of the tables, for ``DataFrame.attrs["csgnn_dgl"]``.
    readers
        Readers that were registered.
    """

    command: str
    output: Path
    size: int
    sources: Callable[[], Iterator[tuple[Path, str]]]
    marks: Callable[[Iterator[tuple[Path, str]]], Iterator[Mark]]
    read: Callable[[Sequence[Piece]], Iterator[Frame[Item]]]
    work: Callable[[Sequence[Frame[Item]]], Rows]
    sample: Callable[[], Sequence[Frame[Item]]]
    identity: Mapping[str, Any]
    weight: Callable[[Item], int] = field(default=lambda item: 1)
    enough: int = 64
    columns: Mapping[str, type[float] | type[str]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    readers: tuple[Reader, ...] = field(default_factory=registered)


def make_job(
    command: str,
    config: ManyConfig,
    weights: WeightsUsed,
    options: Mapping[str, Any],
    sources: Callable[[], Iterator[tuple[Path, str]]],
    **parts: Any,
) -> Job[Any]:
    """Make a job with the identity that every command's results have.

    Parameters
    ----------
    command
        Name of the command.
    config
        Output, size of the partitions, columns.
    weights
        The weights.
    options
        Other options that results depend on.
    sources
        Files of the inputs.
    parts
        Other parameters of :class:`Job`.

    Raises
    ------
    ConfigError
        There are no inputs.
    DataError
        An input does not exist, or a folder holds nothing to read.
    """
    assert config.output is not None, "start_many() asks for it"
    identity = {
        "command": command,
        "csgnn_dgl": __version__,
        "weights": {"name": weights.name, "sha256": weights.sha256},
        "options": dict(options),
        "columns": list(config.columns),
        "structures_per_partition": config.partition,
        "inputs": fingerprint(sources()),
    }
    return Job(command, config.output, config.partition, sources, identity=identity, **parts)
