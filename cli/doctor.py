"""``csgnn-dgl doctor``: what is installed, what will be used, and what is missing."""

from __future__ import annotations

import os
import platform
import sys
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import click
from packaging.requirements import Requirement

from csgnn_dgl import __version__
from csgnn_dgl._platform import usable_cores, why_unsupported
from csgnn_dgl._plugins import PluginWarning
from csgnn_dgl.errors import CSGNNError, MissingDependencyError

__all__ = ["doctor"]

# Any distribution of open3d is enough. Whether it can be imported is checked below.
_OPEN3D = ("open3d", "open3d-cpu", "libusb-package")
Finding = tuple[bool, str, str]


@click.command("doctor")
def doctor() -> None:
    """Print versions, the state of DGL and open3d, devices, and what will be used.

    The exit status is 2 if something is missing that training needs.
    """
    click.echo(f"csgnn-dgl {__version__}")
    click.echo(
        f"  Python            {platform.python_version()} ({sys.executable}), {platform.platform()}"
    )
    # If DGL is installed, for instance built from source, no release is needed.
    unsupported = None if _installed("dgl") else why_unsupported()
    if unsupported is not None:
        click.echo(f"  NOT SUPPORTED: {unsupported}")
    failed = unsupported is not None
    for requirement in _requirements():
        name = requirement.name
        remedy = f"pip install '{name}{requirement.specifier}'"
        version = _installed(name)
        if version is None:
            failed = True
            if unsupported is not None and name in ("dgl", "torch"):
                remedy = "see above"
            click.echo(f"  {name:<17} MISSING: {remedy}")
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        failed |= not fits
        click.echo(f"  {name:<17} {version}{'' if fits else f', DOES NOT FIT: {remedy}'}")
    for heading, check in (
        ("DGL", _dgl),
        ("devices", _devices),
        ("open3d", _open3d),
        ("plug-ins", _plugins),
        ("places", _places),
    ):
        click.echo(f"{heading}:")
        try:
            for fine, text, remedy in check():
                click.echo(f"  {'ok     ' if fine else 'MISSING'} {text}")
                if not fine:
                    click.echo(f"          {remedy}")
        except (CSGNNError, ImportError, OSError) as error:
            failed |= heading == "DGL"
            click.echo(f"  MISSING {error}")
    if failed:
        raise CSGNNError("training will not work until the packages listed above are installed")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> list[Requirement]:
    """Requirements of the installed package that apply to this system."""
    try:
        texts = metadata.requires("csgnn-dgl") or []
    except metadata.PackageNotFoundError:
        raise MissingDependencyError(
            "csgnn-dgl is not installed, only its files are here: run pip install -e ."
        ) from None
    found = [Requirement(text) for text in texts]
    # Extras are for developers and optional features.
    needed = [r for r in found if r.marker is None or r.marker.evaluate({"extra": ""})]
    return sorted((r for r in needed if r.name not in _OPEN3D), key=lambda r: r.name)


def _dgl() -> Iterator[Finding]:
    from csgnn_dgl._dgl import GRAPHBOLT_IS_REAL, dgl
    from csgnn_dgl.grid import ConcentricGrid

    graph = ConcentricGrid(1, 2).graph()
    yield True, f"dgl {dgl.__version__} builds heterographs ({graph.num_nodes()} vertices)", ""
    state = "loads" if GRAPHBOLT_IS_REAL else "does not fit this torch; it is not needed"
    yield True, f"graphbolt {state}", ""
    yield True, "kernels: csgnn_dgl.ops, on CPU and GPU", ""


def _devices() -> Iterator[Finding]:
    import torch

    from csgnn_dgl.grid import available_memory

    memory = available_memory()
    free = "unknown" if memory is None else f"{memory / 2**30:.1f} GiB"
    yield (
        True,
        f"CPU: {usable_cores()} cores, {torch.get_num_threads()} threads, {free} memory free",
        "",
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            size = properties.total_memory / 2**30
            yield True, f"cuda:{index}: {properties.name}, {size:.0f} GiB", ""
        yield True, "--accelerator auto will use the GPU", ""
    elif torch.version.cuda:
        yield (
            False,
            f"no GPU found, although torch is built for CUDA {torch.version.cuda}",
            "check the driver with nvidia-smi; --accelerator auto will use the CPU",
        )
    else:
        yield True, "no GPU (torch is a CPU build); --accelerator auto will use the CPU", ""


def _open3d() -> Iterator[Finding]:
    from csgnn_dgl._open3d import import_open3d

    yield True, f"open3d {import_open3d().__version__}: meshes can be sampled", ""


def _plugins() -> Iterator[Finding]:
    from csgnn_dgl._plugins import GROUPS, READERS, find_plugins
    from csgnn_dgl.datasets.readers import plugin_readers
    from csgnn_dgl.models.registry import MODELS, find_class, model_plugins

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PluginWarning)  # said below
        usable = {plugin for plugin, _ in plugin_readers()}
    count = 0
    for domain in MODELS:
        for plugin in model_plugins(domain):
            count += 1
            text = f"{plugin.name}, a {GROUPS[plugin.group]}: {plugin.value} from {plugin.origin}"
            try:
                find_class(domain, plugin.name) if plugin.problem is None else plugin.load()
            except CSGNNError as error:
                yield False, text, str(error)
            else:
                yield True, text, ""
    for plugin in find_plugins(READERS):
        count += 1
        text = f"{plugin.name}, a reader: {plugin.value} from {plugin.origin}"
        yield plugin in usable, text, "it cannot be used; csgnn-dgl data info PATH says why"
    if not count:
        yield True, "none; models and readers of other packages are found by entry points", ""


def _places() -> Iterator[Finding]:
    from csgnn_dgl.datasets.shapes.cache import default_cache_dir

    cache, runs = default_cache_dir(), Path("runs").absolute()
    remedy = "set CSGNN_CACHE to a folder that you may write to; until then nothing is cached"
    yield _writable(cache), f"cache of sampled surfaces: {cache}", remedy
    remedy = "change to a folder that you may write to, or use --output"
    yield _writable(runs), f"new runs: {runs}", remedy


def _writable(path: Path) -> bool:
    existing = next(p for p in (path, *path.parents) if p.exists())
    return os.access(existing, os.W_OK)
