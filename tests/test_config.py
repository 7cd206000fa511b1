"""Options of a command: where they come from, who wins, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import model_validator

from csgnn_dgl.config import (
    CommandConfig,
    Options,
    Preset,
    option,
    parse_yaml,
    preset_of,
    read_yaml,
    validated,
)
from csgnn_dgl.errors import ConfigError


class Config(CommandConfig):
    """Options of a command that there is not."""

    presets = {  # noqa: RUF012 (declared a class variable by the base)
        "small": Preset("few", {"count": 2, "mode": "fast"}),
        "large": Preset("many", {"count": 90}),
    }
    count: int = option(5, "How many.", "Sizes", ge=1)
    share: float = option(0.5, "Which part.", "Sizes", gt=0, lt=1)
    mode: Literal["fast", "exact"] = option("exact", "How.")
    widths: list[int] = option([3, 4], "Of what.")
    place: Path | None = option(None, "Where.", short="-p")

    @model_validator(mode="after")
    def _goes_together(self) -> Config:
        if self.mode == "fast" and self.count > 50:
            raise ConfigError("fast is for at most 50")
        return self


def written(folder: Path, text: str) -> Path:
    path = folder / "options.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults() -> None:
    config = Config()
    assert (config.count, config.mode, config.widths, config.place) == (5, "exact", [3, 4], None)
    assert Config.resolve() == config


def test_flags_over_yaml_over_preset(tmp_path: Path) -> None:
    path = written(tmp_path, "count: 7\nshare: 0.25\n")
    assert Config.resolve(preset="small").count == 2
    config = Config.resolve(preset="small", yaml_path=path)
    assert (config.count, config.share, config.mode) == (7, 0.25, "fast")
    config = Config.resolve(preset="small", yaml_path=path, flags={"count": 8})
    assert (config.count, config.share, config.mode) == (8, 0.25, "fast")


def test_a_file_may_name_its_preset(tmp_path: Path) -> None:
    path = written(tmp_path, "preset: small\nshare: 0.25\n")
    config = Config.resolve(yaml_path=path)
    assert (config.count, config.share) == (2, 0.25)
    # One that is given goes before it.
    config = Config.resolve(preset="large", yaml_path=path)
    assert (config.count, config.mode) == (90, "exact")


def test_what_is_printed_reads_back(tmp_path: Path) -> None:
    config = Config(count=9, widths=[1], place=tmp_path / "ä b", mode="fast")
    assert Config.from_yaml(written(tmp_path, config.to_yaml())) == config
    # Enough to repeat the run: nothing is left to defaults.
    assert set(read_yaml(tmp_path / "options.yaml")) == set(Config.model_fields)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"conut": 3}, r"unknown key 'conut' in --conut: did you mean 'count'\?"),
        ({"xyz": 3}, "unknown key 'xyz' in --xyz: known keys: count, share"),
        ({"count": 0}, r"count = 0 \(from --count\): Input should be greater than or equal to 1"),
        ({"count": 2.5}, r"count = 2\.5 \(from --count\)"),
        ({"share": float("nan")}, r"share = nan \(from --share\)"),
        ({"share": float("inf")}, r"share = inf \(from --share\)"),
        ({"mode": "fats"}, r"should be 'fast' or 'exact'; did you mean 'fast'\?"),
        ({"widths": "3"}, r"widths = '3' \(from --widths\)"),
        ({"count": 0, "share": 2}, r"count = 0 .*; share = 2 .*"),
        ({"mode": "fast", "count": 51}, "^fast is for at most 50$"),
    ],
    ids=str,
)
def test_mistakes_of_flags(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config.resolve(flags=values)


def test_mistakes_say_where_they_stand(tmp_path: Path) -> None:
    path = written(tmp_path, "count: -1\n")
    with pytest.raises(ConfigError, match=rf"count = -1 \(from {path}\)"):
        Config.resolve(yaml_path=path)
    with pytest.raises(ConfigError, match=r"count = -1 \(from the call\)"):
        Config(count=-1)
    with pytest.raises(ConfigError, match=rf"unknown key 'conut' in {path}"):
        Config.resolve(yaml_path=written(tmp_path, "conut: 3\n"))
    with pytest.raises(ConfigError, match="unknown preset 'smal': did you mean 'small'"):
        Config.resolve(preset="smal")
    with pytest.raises(ConfigError, match="unknown preset 3"):
        Config.resolve(yaml_path=written(tmp_path, "preset: 3\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"count: [1", "is not YAML"),
        (b"- 1\n- 2\n", "must hold 'key: value' lines, but it holds a list"),
        (b"just words\n", "but it holds a str"),
        (b"count: 1\ncount: 2\n", "the key 'count' is given twice"),
        (b"\xff\xfe\x00", "cannot be read: 'utf-8' codec"),
        (b"count: !!python/object/apply:os.getcwd []\n", "is not YAML"),
    ],
    ids=str,
)
def test_files_that_are_no_options(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        Config.resolve(yaml_path=path)


BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "has more than 10,000 values"),
        ("count: &a [*a]\n", "nested too deeply|is not YAML"),
        ("count: " + "[" * 30 + "]" * 30, "nested too deeply"),
        ("count: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("count: " + "{a: " * 2000, "nested too deeply"),
        ("count: " + "9" * 5000, "a value that cannot be read"),
        ("count: 2001-13-45\n", "a value that cannot be read"),
        ("count: !!timestamp x\n", "a value that cannot be read"),
        ("count: !!int abc\n", "a value that cannot be read"),
        ("count: !!float abc\n", "a value that cannot be read"),
        ("count: !!bool maybe\n", "a value that cannot be read"),
        ("count: !!int ''\n", "a value that cannot be read"),
        ("count: !!map [1]\n", "is not YAML|a value that cannot be read"),
        ("count: !!mine x\n", "is not YAML"),
        ("? [1, 2]\n: 3\n", "is not YAML"),
        ("count: 2001-12-14\n", "count = datetime.date"),
        (f"count: {2**63}\n", "the number is beyond 64 bits"),
        ("count: !!binary aGVsbG8=\n", "count = b'hello'"),
        ("count: '" + "x" * 3000 + "'\n", "count = 'xxx"),
        ("x" * 900 + ": 1\n", "unknown key 'xxx"),
        ('"\\e[2J": 1\n', r"unknown key '\\x1b\[2J'"),
        ("a: 1\n" * 300_000, "larger than 1 MB"),
    ],
    ids=lambda text: text[:20],
)
def test_values_that_no_configuration_has(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        Config.resolve(yaml_path=path)
    assert len(str(caught.value)) < 800
    assert str(caught.value).isprintable()


def test_yaml_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a device, a pipe or a socket"):
        read_yaml(Path("/dev/zero"))
    assert parse_yaml("{a: &x 1, b: *x}", "here") == {"a": 1, "b": 1}


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no configuration file"):
        read_yaml(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        read_yaml(tmp_path)
    assert read_yaml(written(tmp_path, "")) == {}
    assert Config.resolve(yaml_path=tmp_path / "options.yaml") == Config()


class TestUnused:
    """Options that mean nothing here are refused wherever somebody chose them."""

    def test_flags(self) -> None:
        config = Config.resolve(flags={"count": 5, "share": 0.3})
        with pytest.raises(ConfigError, match=r"^it is dark, so --count means nothing here$"):
            config.refuse_unused(["count"], "it is dark")
        with pytest.raises(ConfigError, match=r"so --count, --share mean nothing here"):
            config.refuse_unused(["count", "share"], "it is dark")
        config.refuse_unused(["mode", "widths"], "it is dark")

    def test_files(self, tmp_path: Path) -> None:
        path = written(tmp_path, "count: 7\nshare: 0.5\n")
        config = Config.resolve(yaml_path=path)
        with pytest.raises(ConfigError, match=rf"so count \(from {path}\) means nothing"):
            config.refuse_unused(["count"], "it is dark")
        # A default in a file, such as a printed configuration, is no choice.
        config.refuse_unused(["share"], "it is dark")

    def test_presets(self) -> None:
        config = Config.resolve(preset="small")
        with pytest.raises(ConfigError, match=r"mode \(from preset small\) means nothing"):
            config.refuse_unused(["mode"], "it is dark")

    def test_calls(self) -> None:
        # From Python, what stands in the call itself.
        with pytest.raises(ConfigError, match=r"count \(from the call\) means nothing"):
            Config(count=3).refuse_unused(["count"], "it is dark")


def test_options_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().count = 3  # type: ignore[misc]


def test_validated_and_preset_of() -> None:
    assert validated(Config, {"count": 3}, {}).count == 3
    with pytest.raises(ConfigError, match=r"count = 0 \(from somewhere\)"):
        validated(Config, {"count": 0}, {"count": "somewhere"})
    assert preset_of(Config.presets, "large").values == {"count": 90}

    class Empty(Options):
        """None."""

    with pytest.raises(ConfigError, match="known keys: none"):
        validated(Empty, {"a": 1}, {})
