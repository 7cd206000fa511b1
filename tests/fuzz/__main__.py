"""Read damaged files of all formats: ``python -m tests.fuzz --inputs 20000 --seed 1``."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.fuzz.controls import CONTROLS
from tests.fuzz.formats import FORMATS
from tests.fuzz.pool import Input, Limits, Outcome, Pool
from tests.fuzz.smaller import smaller

__all__ = ["main", "write_defect"]


def planned(inputs: int, seed: int, names: Sequence[str]) -> Iterator[Input]:
    """Divide the inputs among the formats by their shares; every format gets its sound files."""
    total = sum(FORMATS[name].share for name in names)
    for name in names:
        count = max(len(FORMATS[name].made), round(inputs * FORMATS[name].share / total))
        for index in range(count):
            yield Input(name, seed, index)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return 1 if there are defects."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="number of inputs in all")
    parser.add_argument("--seed", type=int, default=1, help="other seeds make other inputs")
    parser.add_argument("--formats", default="", help="some formats, separated by commas")
    parser.add_argument("--processes", type=int, default=1, help="number of workers")
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"), help="for the defects")
    parser.add_argument("--index", type=int, help="one input only: prints its outcome")
    parser.add_argument("--file", type=Path, help="read a file in place of an input")
    chosen = parser.parse_args(arguments)
    names = [name for name in chosen.formats.split(",") if name] or list(FORMATS)
    if unknown := set(names) - {*FORMATS, *CONTROLS}:
        parser.error(f"unknown formats {sorted(unknown)}; known: {', '.join(FORMATS)}")
    if chosen.index is not None or chosen.file is not None:
        return _one(names[0], chosen.seed, chosen.index or 0, chosen.file)
    return _many(chosen.inputs, chosen.seed, names, chosen.processes, chosen.output)


def _one(name: str, seed: int, index: int, file: Path | None) -> int:
    item = Input(name, seed, index)
    if file is not None:
        item = Input(name, files=((file.name, file.read_bytes()),), target=file.name)
    with Pool(1) as pool:
        ((_, outcome),) = pool.run([item])
    print(f"{outcome.kind}: {outcome.key}\n{outcome.detail}")
    return int(outcome.defect)


def _many(inputs: int, seed: int, names: Sequence[str], processes: int, output: Path) -> int:
    found: dict[tuple[str, str], list[tuple[Input, Outcome]]] = defaultdict(list)
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    seconds: Counter[str] = Counter()
    start, shown = time.monotonic(), 0.0
    with Pool(processes) as pool:
        for done, (item, outcome) in enumerate(pool.run(planned(inputs, seed, names)), start=1):
            sound = FORMATS[item.format].made
            if outcome.kind == "refused" and item.index < len(sound) and sound[item.index].sound:
                outcome = Outcome("wrong", f"sound {item.format} refused", outcome.detail)
            counts[item.format][outcome.kind] += 1
            seconds[item.format] += outcome.seconds
            if outcome.defect:
                found[outcome.kind, outcome.key].append((item, outcome))
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                rate = done / (shown - start + 1e-9)
                print(f"{done} inputs, {rate:.0f}/s, {len(found)} defects", file=sys.stderr)
        spent = time.monotonic() - start
        for place, cases in enumerate(found.values()):
            write_defect(output, place, cases, pool)
    _print(counts, seconds, found, spent, seed)
    return int(bool(found))


def write_defect(output: Path, place: int, cases: list[tuple[Input, Outcome]], pool: Pool) -> None:
    """Write the smallest input of a defect, and how to repeat it."""
    item, outcome = cases[0]
    files, target = FORMATS[item.format].make(item.seed, item.index)
    quick = outcome.kind not in ("hang", "memory")
    if quick:
        files = smaller(pool, item.format, files, target, outcome)
    name = hashlib.sha256(f"{outcome.kind} {outcome.key}".encode()).hexdigest()[:8]
    folder = output / f"{place:03d}-{item.format}-{outcome.kind}-{name}"
    for path, content in files.items():
        (folder / "input" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "input" / path).write_bytes(content)
    about = {
        "kind": outcome.kind,
        "key": outcome.key,
        "count": len(cases),
        "formats": sorted({case.format for case, _ in cases}),
        "target": target,
        "repeat": _command(item),
        "detail": outcome.detail,
    }
    (folder / "about.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _command(item: Input) -> str:
    return f"python -m tests.fuzz --formats {item.format} --seed {item.seed} --index {item.index}"


def _print(
    counts: dict[str, Counter[str]],
    seconds: Counter[str],
    found: dict[tuple[str, str], list[tuple[Input, Outcome]]],
    spent: float,
    seed: int,
) -> None:
    kinds = ("fine", "refused", *("signal", "hang", "memory"), "traceback", "message", "wrong")
    kinds = (*kinds, "warning")
    print(f"{'format':15}" + "".join(f"{kind:>10}" for kind in kinds) + f"{'inputs/s':>10}")
    for name, row in counts.items():
        rate = sum(row.values()) / seconds[name] if seconds[name] else 0.0
        print(f"{name:15}" + "".join(f"{row[kind]:10d}" for kind in kinds) + f"{rate:10.0f}")
    total: Counter[str] = sum(counts.values(), Counter())
    print(f"{'all':15}" + "".join(f"{total[kind]:10d}" for kind in kinds))
    for (kind, key), cases in found.items():
        item, outcome = cases[0]
        lines = outcome.detail.strip().splitlines() or [""]
        line = lines[0] if kind in ("message", "wrong", "warning") else lines[-1]
        print(f"\n{kind}: {key} ({len(cases)} times)\n  {line[:200]}\n  {_command(item)}")
    print(
        f"\nseed {seed}: {sum(total.values())} inputs in {len(counts)} formats, "
        f"{len(found)} distinct defects, {spent:.0f} s; limits {Limits()}"
    )


if __name__ == "__main__":
    sys.exit(main())
