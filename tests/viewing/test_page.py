"""Pages need nothing else, whatever their texts hold."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from csgnn_dgl.viewing.page import facts, pack, payload_bytes, table, write_page

EVIL = "</script><script>alert(1)</script><!--<b>&\"'\x1b[31m"


class Elements(HTMLParser):
    """Counts elements, and collects addresses and the text of the payload."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.payload = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self._inside = dict(attrs).get("id") == "payload"

    def handle_data(self, data: str) -> None:
        self.payload += data if self._inside else ""
        self._inside = False


def elements(path: Path) -> Elements:
    found = Elements()
    found.feed(path.read_text(encoding="utf-8"))
    return found


def written(path: Path, text: str) -> Elements:
    part = facts([(text, text)]) + table([text], [[text]])
    payload = {"name": text, "missing": np.nan, "values": pack(np.arange(3.0))}
    size = write_page(path, title=text, name="shapes", payload=payload, facts=part, warnings="")
    assert size == path.stat().st_size
    return elements(path)


def test_texts_stay_texts(tmp_path: Path) -> None:
    harmless, evil = written(tmp_path / "a.html", "a"), written(tmp_path / "b.html", EVIL)
    assert evil.tags == harmless.tags
    content = json.loads(evil.payload)
    assert content["name"] == EVIL.replace("\x1b", "\\x1b")
    assert content["missing"] is None


def test_nothing_is_fetched(tmp_path: Path) -> None:
    found = written(tmp_path / "a.html", "a")
    assert found.addresses == ["data:,"]
    assert found.tags.count("script") == 3


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_sizes_of_arrays(dtype: str) -> None:
    packed = pack(np.arange(6).reshape(2, 3).astype(dtype))
    assert packed["shape"] == [2, 3]
    both, none = (payload_bytes({"a": list(many)}) for many in ((packed, packed), ()))
    assert both - none >= 2 * len(packed["data"])
