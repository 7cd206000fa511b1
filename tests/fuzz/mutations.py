"""Damage files: numbers, words, lines and bytes, and the members of archives."""

from __future__ import annotations

import gzip
import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random

__all__ = [
    "EXTREMES",
    "WORDS",
    "damage",
    "damage_bytes",
    "damage_json",
    "in_gzip",
    "in_npy",
    "in_safetensors",
    "in_zip",
]

#: Changes the content of a container; the container stays whole.
Damage = Callable[[Random, bytes], bytes]

#: Numbers, and what looks like numbers, in place of a number.
EXTREMES: tuple[bytes, ...] = (
    *(b"0 -0 -1 1 2 3 4 5 7 127 128 255 256 65535 65536 99999 1000000000 2147483647".split()),
    *(b"-2147483648 4294967295 4294967296 9223372036854775807 9223372036854775808".split()),
    *(b"1e5 4e5 1e9 1e12 1e30 1e155 -1e155 1e200 1e300 1e308 1.8e308 1e400 -1e999".split()),
    *(b"1e-5 1e-30 1e-155 5e-324 1e-400 0.5 -0.5 0.999999999999 1.0000001 3.7".split()),
    *(b"nan NaN -nan inf -inf Infinity .nan .inf 1.2.3 1..2 1e 1e+ e5 + - . 0x10 1_000".split()),
    *(b"1d5 1,5 1/2 -1/0 1/0 00012 010 1(2) 1.5(300) ? .".split()),
    "²".encode(),
    "١٢".encode(),
    "１２".encode(),
    b"9" * 25,
    b"9" * 400,
    b"9" * 5000,
    b"0." + b"3" * 5000,
    b"",
)

#: Words that mean something in some format, beside those of each format.
WORDS: tuple[bytes, ...] = (
    b"true",
    b"null",
    b"None",
    b"[]",
    b"{}",
    b"\x00",
    b"\xff",
    b"\x1b[31m",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\n\n",
    b"\t",
    b'"',
    b"'",
    b"#",
    b"%s",
    b"../x",
    b"A" * 300,
    b"a" * 70_000,
    "é".encode("latin-1"),
    "Å\u2028\u202e".encode(),
)

_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_TOKEN = re.compile(rb"[^\s,;:=\"'<>\[\](){}]+")
# Inputs grow no further than this.
_LARGEST = 1 << 19


def damage(
    rng: Random,
    content: bytes,
    others: Sequence[bytes] = (),
    words: Sequence[bytes] = (),
    *,
    text: bool = True,
) -> bytes:
    """Damage a file in one to four places.

    Parameters
    ----------
    rng
        Source of all choices.
    content
        The whole file.
    others
        Other files of the format, to be joined with this one.
    words
        Key words of the format.
    text
        Whether the file has lines; if not, most changes are of bytes.

    Examples
    --------
    >>> damage(Random(1), b"1 2 3") == damage(Random(1), b"1 2 3")
    True
    """
    for _ in range(1 + min(3, int(rng.expovariate(1.2)))):
        draw = rng.random()
        if others and draw < 0.06:
            content = _splice(rng, content, rng.choice(others))
        elif draw < (0.12 if text else 0.7):
            content = damage_bytes(rng, content)
        elif draw < 0.45:
            content = _number(rng, content)
        elif draw < 0.65:
            content = _token(rng, content, words)
        elif draw < 0.93:
            content = _lines(rng, content, words)
        else:
            content = _whole(rng, content)
    return content[:_LARGEST]


def damage_bytes(rng: Random, content: bytes) -> bytes:
    """Flip, insert, remove, repeat or cut bytes, or write a number over some."""
    data = bytearray(content)
    place = rng.randrange(len(data) + 1)
    # Headers decide most, so half of the changes are near the start.
    if rng.random() < 0.5:
        place = min(place, rng.randrange(min(len(data), 512) + 1))
    kind = rng.randrange(8)
    if kind == 0 and place < len(data):
        data[place] ^= 1 << rng.randrange(8)
    elif kind == 1 and place < len(data):
        data[place] = rng.randrange(256)
    elif kind == 2:
        data[place:place] = rng.randbytes(rng.choice((1, 2, 4, 64)))
    elif kind == 3:
        del data[place : place + rng.choice((1, 2, 4, 8, 64))]
    elif kind == 4:
        del data[place:]
    elif kind == 5:
        piece = bytes(data[place : place + rng.choice((4, 64, 1024))])
        data[place:place] = piece * rng.choice((1, 2, 50))
    elif kind == 6:
        value = rng.choice((0, 1, -1, 2**31 - 1, -(2**31), 10**9, 255, 2**32 - 1))
        packed = struct.pack(rng.choice("<>") + "i", (value + 2**31) % 2**32 - 2**31)
        data[place : place + 4] = packed
    else:
        value = rng.choice((float("nan"), float("inf"), 1e155, -1e300, 5e-324, 0.0, 1e30))
        width = rng.choice("fd")
        if width == "f":
            value = min(max(value, -3e38), 3e38)
        packed = struct.pack(rng.choice("<>") + width, value)
        data[place : place + len(packed)] = packed
    return bytes(data[:_LARGEST])


def _number(rng: Random, content: bytes) -> bytes:
    found = list(_NUMBER.finditer(content[:65536]))
    if not found:
        return damage_bytes(rng, content)
    # Counts and headers stand in front.
    match = found[min(int(rng.expovariate(0.15)), len(found) - 1)] if rng.random() < 0.5 else None
    match = match or rng.choice(found)
    draw = rng.random()
    if draw < 0.75:
        new = rng.choice(EXTREMES)
    elif draw < 0.85:
        new = rng.choice(found)[0]
    elif draw < 0.95:
        new = match[0] + rng.choice((b"0", b"00000000", b"e9", b"9", b".5", b"-1"))
    else:
        new = b"-" + match[0]
    return content[: match.start()] + new + content[match.end() :]


def _token(rng: Random, content: bytes, words: Sequence[bytes]) -> bytes:
    found = list(_TOKEN.finditer(content[:65536]))
    if not found:
        return damage_bytes(rng, content)
    one, two = rng.choice(found), rng.choice(found)
    kind = rng.randrange(5)
    if kind == 0 and one.end() <= two.start():  # swap
        middle = content[one.end() : two.start()]
        return content[: one.start()] + two[0] + middle + one[0] + content[two.end() :]
    if kind == 1:  # remove
        return content[: one.start()] + content[one.end() :]
    if kind == 2:  # repeat
        count = rng.choice((1, 1, 3, 2000))
        return content[: one.end()] + (b" " + one[0]) * count + content[one.end() :]
    new = rng.choice([*words, *words, *WORDS]) if kind == 3 else two[0]
    return content[: one.start()] + new + content[one.end() :]


def _lines(rng: Random, content: bytes, words: Sequence[bytes]) -> bytes:
    lines = content.splitlines(keepends=True)
    if not lines:
        return rng.choice(WORDS)
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(8)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(place, lines[place])
    elif kind == 2:
        lines[place], lines[other] = lines[other], lines[place]
    elif kind == 3:
        line = lines[place]
        lines[place] = line[: rng.randrange(len(line) + 1)]
    elif kind == 4:
        del lines[place:]
    elif kind == 5:
        lines.insert(place, rng.choice([*words, *WORDS]) + b"\n")
    elif kind == 6:
        low, high = sorted((place, other))
        del lines[low:high]
    else:
        lines[place:place] = lines[place : place + 3] * rng.choice((2, 20, 300))
    return b"".join(lines)


def _whole(rng: Random, content: bytes) -> bytes:
    kind = rng.randrange(8)
    if kind == 0:
        return content.replace(b"\n", b"\r\n")
    if kind == 1:
        return content.replace(b"\n", b"\r")
    if kind == 2:
        return b"\xef\xbb\xbf" + content
    if kind == 3:
        return content.decode("latin-1").encode("utf-16")
    if kind == 4:
        return content + content
    if kind == 5:
        return content.replace(b" ", b"")
    if kind == 6:
        return content.upper() if rng.random() < 0.5 else content.lower()
    return content.rstrip() + rng.choice((b"\x00" * 100, b"\n" * 1000, b"rubbish\n", b" " * 99))


def _splice(rng: Random, content: bytes, other: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


def damage_json(rng: Random, content: bytes) -> bytes:
    """Change a value, a key or the type of an entry; the result is JSON again."""
    try:
        value = json.loads(content)
    except ValueError:
        return content
    places: list[tuple[object, object]] = []

    def walk(node: object) -> None:
        items: Sequence[tuple[object, object]] = ()
        if isinstance(node, dict):
            items = list(node.items())
        elif isinstance(node, list):
            items = list(enumerate(node[:8]))
        for key, inner in items:
            places.append((node, key))
            walk(inner)

    walk(value)
    odd = (None, True, -1, 0, 1.5, 10**9, 10**30, 1e155, float("nan"), "", "x", "²", [], {})
    odd = (*odd, [[]], [0], {"a": 1}, "a" * 3000, -(2**63), "\x1b[31m\n", [None], ["x", 1])
    if not places:
        return json.dumps(rng.choice(odd)).encode()
    for _ in range(rng.choice((1, 1, 2))):
        node, key = rng.choice(places)
        kind = rng.randrange(5)
        if isinstance(node, dict) and key in node:
            if kind == 0:
                del node[key]
            elif kind == 1:
                node[f"{key}x"] = node.pop(key)
            else:
                node[key] = rng.choice(odd)
        elif isinstance(node, list) and isinstance(key, int) and key < len(node):
            if kind == 0:
                del node[key]
            elif kind == 1:
                node.append(node[key])
            else:
                node[key] = rng.choice(odd)
    return json.dumps(value).encode()


def in_gzip(inner: Damage) -> Damage:
    """Damage what is compressed, and compress it again."""

    def apply(rng: Random, content: bytes) -> bytes:
        try:
            plain = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            return content
        if rng.random() < 0.03:
            return gzip.compress(plain + b" " * 80_000_000, 1, mtime=0)
        return gzip.compress(inner(rng, plain), 1, mtime=0)

    return apply


def in_npy(rng: Random, content: bytes) -> bytes:
    """Damage the header of a ``.npy`` file, whose length is made to fit."""
    if content[:6] != b"\x93NUMPY":
        return content
    size = struct.unpack("<H", content[8:10])[0]
    header, data = content[10 : 10 + size], content[10 + size :]
    kinds = (b"'<f8'", b"'<f2'", b"'|O'", b"'<U9'", b"'>i4'", b"'<c16'", b"'|b1'", b"'<M8[s]'")
    kinds = (*kinds, b"'|V0'", b"[('x','<f8')]", b"'<f16'", b"'|S0'", b"'<f8,<f8'", b"3", b"None")
    shapes = (b"(1000000000, 3)", b"(30, 3.0)", b"(-1, 3)", b"(True, 3)", b"()", b"(3,)", b"(0, 3)")
    shapes = (*shapes, b"(9223372036854775807, 3)", b"(1,1,30,3)", b"(30,3,1)", b"30", b"(-2,-3)")
    draw = rng.random()
    if draw < 0.3:
        header = re.sub(rb"'[<>|=]\w+'", lambda _: rng.choice(kinds), header, count=1)
    elif draw < 0.6:
        header = re.sub(rb"\([^)]*\)", lambda _: rng.choice(shapes), header, count=1)
    else:
        header = damage(rng, header, words=(*kinds, *shapes, b"'shape'", b"True"))
    header = header[:60000]
    return content[:8] + struct.pack("<H", len(header)) + header + data


def in_zip(inner: Damage) -> Damage:
    """Damage one member of an archive, its name or its method; checksums are made to fit."""

    def apply(rng: Random, content: bytes) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                members = [(info.filename, archive.read(info)) for info in archive.infolist()]
        except Exception:  # a damaged archive stays as it is
            return content
        if not members:
            return content
        place = rng.randrange(len(members))
        name, data = members[place]
        draw = rng.random()
        names = ("../x", "/x", "a" * 300, "x\x00y", "C:x", "a\\b", "", ".", "x/", "é", name + "/y")
        if draw < 0.55:
            members[place] = (name, inner(rng, data))
        elif draw < 0.65:
            del members[place]
        elif draw < 0.8:
            members[place] = (rng.choice(names), data)
        elif draw < 0.87:
            members.append((rng.choice(names), inner(rng, data)))
        elif draw < 0.92:
            other = rng.randrange(len(members))
            members[place] = (name, members[other][1])
        elif draw < 0.95:
            members[place] = (name, b"\x00" * 50_000_000)
        buffer = io.BytesIO()
        method = zipfile.ZIP_DEFLATED if rng.random() < 0.4 or draw > 0.92 else zipfile.ZIP_STORED
        with (
            warnings.catch_warnings(),
            zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive,
        ):
            warnings.simplefilter("ignore")  # names that occur twice are meant to
            for entry, data in members:
                archive.writestr(zipfile.ZipInfo(entry or "_"), data, method)
        result = bytearray(buffer.getvalue())
        if rng.random() < 0.12:
            # Encrypted, of an unknown method, or of other sizes, by the central directory.
            start = result.rfind(b"PK\x01\x02")
            if start >= 0:
                field = rng.choice((8, 10, 20, 24, 42))
                result[start + field] = rng.choice((0, 1, 9, 12, 14, 93, 99, 255))
        return bytes(result)

    return apply


def in_safetensors(rng: Random, content: bytes) -> bytes:
    """Damage the header of a ``.safetensors`` file, whose length is made to fit."""
    size = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else 0
    header, data = content[8 : 8 + size], content[8 + size :]
    try:
        value = json.loads(header)
        about = value["__metadata__"]
        key = rng.choice(list(about))
        draw = rng.random()
        if draw < 0.7:
            inner = about[key].encode()
            inner = damage_json(rng, inner) if rng.random() < 0.75 else damage(rng, inner)
            about[key] = inner.decode("utf-8", errors="replace")
            header = json.dumps(value).encode()
        elif draw < 0.9 and len(data) >= 4:
            # Weights that are nan or huge: the header stays whole.
            place = rng.randrange(len(data) // 4) * 4
            odd = struct.pack("<f", rng.choice((float("nan"), float("inf"), 3e38, 1e30)))
            data = data[:place] + odd + data[place + 4 :]
        else:
            header = damage_json(rng, header)
    except (ValueError, KeyError, AttributeError, IndexError):
        pass
    return struct.pack("<Q", len(header)) + header + data
