"""Take a comparison over into the committed results.

    python benchmarks/compared.py results/table1 table1-shrec11

copies the report of ``csgnn-dgl compare`` from the first folder into
``benchmarks/results/compare/NAME``: Markdown, CSV, JSON and the picture. Of absolute paths only the
last part is kept. The documents show the table in a block ``<!-- figures: compare-NAME -->``.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import click

COMPARED = Path(__file__).resolve().parent / "results" / "compare"


def without_paths(content: Any) -> Any:
    """JSON content in which each absolute path is only its last part."""
    if isinstance(content, dict):
        return {key: without_paths(value) for key, value in content.items()}
    if isinstance(content, list):
        return [without_paths(value) for value in content]
    absolute = isinstance(content, str) and re.fullmatch(r"(/|[A-Za-z]:[\\/])[^\n]*", content)
    return re.split(r"[\\/]", content.rstrip("\\/"))[-1] if absolute else content


def table(name: str) -> str:
    """The table of a comparison that was taken over, as Markdown."""
    text = (COMPARED / name / "report.md").read_text(encoding="utf-8")
    found = re.search(r"(^\|.*\n)+", text, re.MULTILINE)
    assert found is not None, f"{name}/report.md has no table"
    return found[0]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("name")
def main(folder: Path, name: str) -> None:
    """Copy the report in FOLDER into the results, as NAME."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    target = COMPARED / name
    target.mkdir(parents=True, exist_ok=True)
    shown = json.dumps(without_paths(report), indent=2, ensure_ascii=False, allow_nan=False)
    text = (folder / "report.md").read_text(encoding="utf-8")
    data = report["settings"]["data"]
    if data is not None:
        # Also within sentences, such as the description of the data.
        shown, text = (part.replace(data, without_paths(data)) for part in (shown, text))
    (target / "report.json").write_text(shown + "\n", encoding="utf-8")
    (target / "report.md").write_text(text, encoding="utf-8")
    shutil.copy(folder / "report.csv", target / "report.csv")
    for picture in ("report.png", "learning.png"):
        if (folder / picture).is_file():
            shutil.copy(folder / picture, target / picture)
    click.echo(str(target))


if __name__ == "__main__":
    main()
