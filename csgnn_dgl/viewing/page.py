"""Make pages of HTML that need no other file and no network."""

from __future__ import annotations

import base64
import html
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import numpy.typing as npt

from csgnn_dgl import __version__
from csgnn_dgl._files import atomic_write
from csgnn_dgl._foreign import printable

__all__ = [
    "drawing_bytes",
    "facts",
    "pack",
    "payload_bytes",
    "picture",
    "table",
    "text_of",
    "write_page",
]

_FILES = Path(__file__).parent / "files"
# Types of arrays that scripts know, by those of NumPy.
_TYPES = {"uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "float32": "f4"}
_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="csgnn-dgl $version">
<title>$title</title>
<link rel="icon" href="data:,">
<style>
$style
</style>
</head>
<body>
<p id="problem" hidden></p>
$body
<footer>Made by csgnn-dgl $version. This page needs no network.</footer>
<script type="text/plain" id="library">$library</script>
<script type="application/json" id="payload">$payload</script>
<script>
$script
</script>
</body>
</html>
""")


def pack(array: npt.ArrayLike) -> dict[str, Any]:
    """An array as a value for JSON, compressed; scripts get a typed array of the same numbers.

    Parameters
    ----------
    array
        Numbers of type uint8, int16, uint16, int32 or float32. Others become float32.

    Examples
    --------
    >>> pack(np.zeros((2, 3), dtype=np.uint8))["shape"]
    [2, 3]
    """
    found = np.ascontiguousarray(array)
    if found.dtype.name not in _TYPES:
        found = found.astype(np.float32)
    little = found.astype(found.dtype.newbyteorder("<"))
    return {
        "packed": _TYPES[found.dtype.name],
        "shape": list(found.shape),
        "data": _compressed(little.tobytes()),
    }


def payload_bytes(value: Any) -> int:
    """Size of a value for JSON on a page [bytes].

    Examples
    --------
    >>> payload_bytes({"a": [1, 2]})
    13
    """
    return len(_json(value))


def _compressed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


@cache
def _library() -> str:
    """The script of plotly, which draws."""
    from plotly.offline import get_plotlyjs

    return _compressed(get_plotlyjs().encode())


def drawing_bytes() -> int:
    """Size of a page without any data [bytes]."""
    return len(_library()) + 30_000


def facts(rows: Sequence[tuple[str, object]], *, kind: str = "facts") -> str:
    """A table of names and values as HTML; values of None are left out.

    Examples
    --------
    >>> facts([("class", "a < b"), ("score", None)])
    '<table class="facts"><tr><th>class</th><td>a &lt; b</td></tr></table>'
    """
    cells = (
        f"<tr><th>{text_of(name)}</th><td>{text_of(value)}</td></tr>"
        for name, value in rows
        if value is not None
    )
    return f'<table class="{kind}">{"".join(cells)}</table>'


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with headings as HTML; numbers are aligned on the right.

    Examples
    --------
    >>> table(["n"], [[1.0]])
    '<table class="rows"><tr><th>n</th></tr><tr><td class="number">1</td></tr></table>'
    """
    head = "".join(f"<th>{text_of(name)}</th>" for name in columns)
    lines = []
    for row in rows:
        cells = []
        for value in row:
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            kind = ' class="number"' if number else ""
            cells.append(f"<td{kind}>{text_of(value)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f'<table class="rows"><tr>{head}</tr>{"".join(lines)}</table>'


def picture(content: bytes, text: str) -> str:
    """A PNG within the page as HTML, with a text for readers who cannot see it."""
    data = base64.b64encode(content).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{text_of(text)}">'


def text_of(value: object) -> str:
    """A value as text for HTML."""
    if isinstance(value, float):
        value = "–" if math.isnan(value) else f"{value:.5g}"
    if isinstance(value, bool):
        value = "yes" if value else "no"
    return html.escape(printable(value, keep="\n"))


def write_page(
    path: Path, *, title: str, name: str, payload: Mapping[str, Any], **parts: str
) -> int:
    """Write a page completely or not at all.

    Parameters
    ----------
    path
        The file.
    title
        Title of the page.
    name
        Name of the page's body and script in ``files``.
    payload
        Data for the script: plain values, and arrays from :func:`pack`.
    parts
        HTML for the places of the body.

    Returns
    -------
    int
        Size of the page [bytes].

    Raises
    ------
    ResourceError
        The file cannot be written. An older file stays unchanged.
    """
    body = Template(_read(f"{name}.html")).substitute(title=text_of(title), **parts)
    data = _json(payload)
    content = _PAGE.substitute(
        version=__version__,
        title=text_of(title),
        style=_read("page.css"),
        body=body,
        library=_library(),
        payload=data,
        script=f"{_read('page.js')}\n{_read(f'{name}.js')}",
    ).encode()
    with atomic_write(path, "wb") as file:
        file.write(content)
    return len(content)


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8").strip()


def _json(value: Any) -> str:
    # "</script>" within a text would end the element that holds the data.
    return json.dumps(_plain(value), ensure_ascii=True, allow_nan=False).replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    """Plain values for JSON, in which NaN and infinity are null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return printable(value) if isinstance(value, str) else value
