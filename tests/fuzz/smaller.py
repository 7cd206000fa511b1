"""Make the input of a defect smaller, as long as the defect stays."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fuzz.pool import Input, Outcome, Pool

__all__ = ["smaller"]


def smaller(
    pool: Pool,
    name: str,
    files: Mapping[str, bytes],
    target: str,
    outcome: Outcome,
    trials: int = 80,
) -> dict[str, bytes]:
    """Remove lines, or pieces of a binary file, from the one file that is large enough to matter.

    Parameters
    ----------
    pool
        Workers.
    name
        The format.
    files, target
        The input.
    outcome
        What it does: what is removed must not change its kind and its key.
    trials
        Largest number of inputs to try.
    """
    best = dict(files)
    for path in sorted(best, key=lambda path: -len(best[path])):
        content = best[path]
        text = b"\x00" not in content
        parts = (
            content.splitlines(keepends=True)
            if text
            else [content[i : i + 16] for i in range(0, len(content), 16)]
        )
        size = max(1, len(parts) // 2)
        while size and trials > 0:
            place = 0
            while place < len(parts) and trials > 0:
                fewer = parts[:place] + parts[place + size :]
                trial = {**best, path: b"".join(fewer)}
                item = Input(name, files=tuple(trial.items()), target=target)
                trials -= 1
                ((_, found),) = pool.run([item])
                if (found.kind, found.key) == (outcome.kind, outcome.key):
                    parts, best = fewer, trial
                else:
                    place += size
            size //= 2
    return best
