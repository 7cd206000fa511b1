"""The configuration of the encoder: widths, readouts, errors."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from csgnn_dgl.errors import ConfigError
from csgnn_dgl.models import CSGNN, EncoderConfig

SMALL = EncoderConfig.with_base_width(2, 3, 2, base_width=4)


def test_widths_of_the_paper() -> None:
    config = EncoderConfig.with_base_width(4, 16, 8)
    assert config.intra_widths == ((32, 32), (64, 64), (128, 128), (256, 256), (512,))
    assert config.radial_widths == ((64, 64), (128, 128), (256, 256), (512,), (1024,))
    assert config.level_features == (64, 128, 256, 512, 1024)
    assert config.global_features == 1984
    assert replace(config, concatenate=False).global_features == 1024


@pytest.mark.parametrize(
    ("level", "intra", "radial"),
    [
        (0, [1], [1]),
        (1, [2, 1], [1, 1]),
        (2, [2, 2, 1], [2, 1, 1]),
        (3, [2, 2, 2, 1], [2, 2, 2, 1]),
        (4, [2, 2, 2, 2, 1], [2, 2, 2, 1, 1]),
        (5, [2, 2, 2, 2, 1, 1], [2, 2, 2, 1, 1, 1]),
        (6, [2, 2, 2, 2, 1, 1, 1], [2, 2, 2, 1, 1, 1, 1]),
    ],
)
def test_convolutions_of_other_levels(level: int, intra: list[int], radial: list[int]) -> None:
    """Levels 3 to 5 as in the released code."""
    config = EncoderConfig.with_base_width(level, 2, 3, base_width=8)
    widths = [8 * 2**step for step in range(level + 1)]
    assert config.intra_widths == tuple((w,) * n for w, n in zip(widths, intra, strict=True))
    assert config.radial_widths == tuple((2 * w,) * n for w, n in zip(widths, radial, strict=True))


def test_config_round_trip() -> None:
    config = replace(SMALL, kernel_size=5, pooling="mean", self_loop=False, concatenate=False)
    config = replace(config, gradients=True, readout=("max-mean", "power"))
    assert EncoderConfig(**config.to_dict()) == config
    # JSON makes lists of tuples.
    again = EncoderConfig(**json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)
    assert again != SMALL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"intra_widths": ((4,), (8,))}, "intra_widths has 2 levels and radial_widths has 3"),
        (
            {"level": 1},
            "for 3 levels, but an encoder that starts at level 1 has from 1 to 2",
        ),
        ({"intra_widths": (), "radial_widths": ()}, "widths are given for 0 levels"),
        ({"intra_widths": ((4,), (0,), (4,))}, "intra_widths is .* widths must be positive"),
        ({"radial_widths": ((4,), (4,), (-1,))}, "radial_widths is .* widths must be positive"),
        (
            {"intra_widths": ((4,), (), (4,)), "radial_widths": ((4,), (), (4,))},
            "every level needs at least one convolution",
        ),
        ({"n_spheres": 0}, "n_spheres is 0, but it must be at least 1"),
        ({"in_channels": -2}, "in_channels is -2, but it must be at least 1"),
        ({"pooling": "median"}, "pooling is .median., but it must be one of"),
        ({"global_pooling": "median"}, "global_pooling is .median., but it must be one of"),
        ({"pooling": "mean-at-coarsest"}, "pooling is .mean-at-coarsest., but it must be one of"),
        ({"level": -1}, "starts at level -1"),
        ({"readout": ()}, "readout is .*, but must be one or several of"),
        ({"readout": ("max",)}, "readout is .'max'., but must be"),
        ({"readout": ("pool", "pool")}, "each may be given only once"),
        ({"level": 6, "readout": ("power",)}, "here up to 5, but can read levels up to 3"),
    ],
    ids=str,
)
def test_bad_configs(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SMALL, **change)


@pytest.mark.parametrize("kernel_size", [0, 2])
def test_even_kernels(kernel_size: int) -> None:
    with pytest.raises(ValueError, match=f"kernel_size is {kernel_size}, but it must be odd"):
        CSGNN(replace(SMALL, kernel_size=kernel_size))


def test_filters_that_there_are_not() -> None:
    with pytest.raises(ConfigError, match="filter_order is 3, but it must be one of"):
        CSGNN(replace(SMALL, filter_order=3))
    with pytest.raises(ConfigError, match="self_loop is off"):
        CSGNN(replace(SMALL, filter_order=1, self_loop=False))


def test_unknown_options() -> None:
    with pytest.raises(TypeError, match="base_with"):
        EncoderConfig.with_base_width(2, 3, 2, base_with=4)
    with pytest.raises(TypeError, match="spheres"):
        EncoderConfig(**(SMALL.to_dict() | {"spheres": 3}))
