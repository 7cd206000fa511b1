"""What a format is to the fuzzer: sound files, how they are damaged, how they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from tests.fuzz.mutations import Damage, damage

__all__ = ["Format", "Seed"]


@dataclass(frozen=True)
class Seed:
    """Sound files that belong together.

    Parameters
    ----------
    target
        The path to read, relative to the folder; ``"."`` for the folder itself.
    files
        Content by relative path.
    damaged
        The files that may be damaged; all by default.
    sound
        Whether they must be read without an error.
    """

    target: str
    files: Mapping[str, bytes]
    damaged: tuple[str, ...] = ()
    sound: bool = True

    @classmethod
    def of(cls, name: str, content: bytes | str, *, sound: bool = True) -> Seed:
        """A single file."""
        data = content.encode() if isinstance(content, str) else content
        return cls(name, {name: data}, sound=sound)


@dataclass(frozen=True)
class Format:
    """A format, or a folder of several files.

    Parameters
    ----------
    name
        Its name on the command line.
    seeds
        Makes the sound files; called once in each process.
    read
        Reads ``(folder, target)`` as the commands do, and asserts what must hold of any result.
    words
        Key words of the format.
    text
        Whether it has lines.
    inside
        Changes the content of a container that stays whole; used for half of the inputs.
    share
        Weight among all formats: low for those that take long.
    setup
        Imports what the readers need, before memory is limited.
    """

    name: str
    seeds: Callable[[], Sequence[Seed]]
    read: Callable[[Path, Path], None]
    words: tuple[bytes, ...] = ()
    text: bool = True
    inside: Damage | None = None
    share: float = 1.0

    @cached_property
    def made(self) -> Sequence[Seed]:
        """The sound files."""
        return self.seeds()

    def prepare(self) -> None:
        """Make the sound files, which imports what that needs."""
        assert self.made

    def make(self, seed: int, index: int) -> tuple[dict[str, bytes], str]:
        """The files of an input, and the path to read; equal numbers give equal files.

        The first inputs are the sound files themselves.
        """
        if index < len(self.made):
            return dict(self.made[index].files), self.made[index].target
        # Text seeds a generator alike in every process.
        rng = Random(f"{self.name}/{seed}/{index}")
        chosen = rng.choice(self.made)
        files = dict(chosen.files)
        name = rng.choice(chosen.damaged or tuple(files))
        others = [
            content
            for other in self.made
            for path, content in other.files.items()
            if Path(path).suffix == Path(name).suffix
        ]
        if len(files) > 1 and rng.random() < 0.02:
            del files[name]
        elif rng.random() < 0.01:
            files[name] = b""
        elif self.inside is not None and not _plain(name) and rng.random() < 0.6:
            files[name] = self.inside(rng, files[name])
        else:
            text = self.text or _plain(name)
            files[name] = damage(rng, files[name], others, self.words, text=text)
        return files, chosen.target


def _plain(name: str) -> bool:
    """Whether a member of a folder in a binary format is text nevertheless."""
    return name.endswith((".txt", ".json", ".csv", ".extxyz", "POSCAR", ".yaml"))
