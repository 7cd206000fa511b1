"""Find models by name: the package's own, those of plug-ins, and a user's as ``module:Class``.

This module does not import torch: models are imported when they are asked for. A name in a file of
weights or a configuration never causes an import from outside this package and the plug-ins that
are installed. A user's module is imported only if the user names it.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from csgnn_dgl._foreign import excerpt, quoted
from csgnn_dgl._plugins import PlugIn, find_plugins
from csgnn_dgl.errors import CheckpointError, ConfigError, suggest
from csgnn_dgl.models.hypers import Hypers

__all__ = [
    "MODELS",
    "Domain",
    "Entry",
    "find_class",
    "find_entry",
    "find_hypers",
    "is_users_own",
    "known_models",
    "load_named",
    "model_plugins",
    "name_of",
    "permitted_name",
]

Domain = Literal["shapes", "atoms"]


@dataclass(frozen=True)
class Entry:
    """A model that has a name.

    Parameters
    ----------
    path
        ``module:Class`` of the model.
    summary
        Description in a line.
    hypers
        ``module:Class`` of its options, if these can be imported without torch. Otherwise the
        options are the model's own ``Hypers``.
    plugin
        The plug-in that offers it; None for a model of this package.
    """

    path: str
    summary: str
    hypers: str | None = None
    plugin: PlugIn | None = None

    def load(self) -> Any:
        """Import the class."""
        return load_named(self.path) if self.plugin is None else self.plugin.load()


#: The package's own models.
MODELS: Mapping[Domain, Mapping[str, Entry]] = {
    "shapes": {
        "csgnn": Entry(
            "csgnn_dgl.models.shapes.csgnn:ShapeCSGNN",
            "concentric spherical GNN, the paper's and this package's own",
            "csgnn_dgl.models.hypers:ShapeCSGNNHypers",
        ),
        "pointnet": Entry("csgnn_dgl.models.shapes.pointnet:PointNet", "PointNet (Qi et al. 2017)"),
        "dgcnn": Entry(
            "csgnn_dgl.models.shapes.dgcnn:DGCNN",
            "edge convolutions in feature space (Wang et al. 2019)",
        ),
        "shellnet": Entry(
            "csgnn_dgl.models.shapes.shellnet:ShellNet",
            "convolutions over shells of neighbours (Zhang et al. 2019)",
        ),
        "rigcn": Entry(
            "csgnn_dgl.models.shapes.rigcn:RIGCN",
            "descriptors in local frames (Kim et al. 2020; reconstructed)",
        ),
        "sfcnn": Entry(
            "csgnn_dgl.models.shapes.sfcnn:SFCNN",
            "symmetric convolutions on an icosphere (Rao et al. 2019; reconstructed)",
        ),
        "prin": Entry(
            "csgnn_dgl.models.shapes.prin:PRIN",
            "convolutions on the sphere and on SO(3) (You et al. 2020)",
        ),
        "riconv": Entry(
            "csgnn_dgl.models.shapes.riconv:RIConv",
            "rotation-invariant features of neighbours (Zhang et al. 2019)",
        ),
        "kpconv": Entry(
            "csgnn_dgl.models.shapes.kpconv:KPConv",
            "rigid kernel points in space (Thomas et al. 2019)",
        ),
        "sphnet": Entry(
            "csgnn_dgl.models.shapes.sphnet:SPHNet",
            "powers of spherical harmonics (Poulenard et al. 2019)",
        ),
    },
    "atoms": {
        "csgnn": Entry(
            "csgnn_dgl.models.atoms.csgnn:AtomCSGNN",
            "concentric spherical GNN, the paper's and this package's own",
            "csgnn_dgl.models.atom_hypers:AtomCSGNNHypers",
        ),
        "agni": Entry(
            "csgnn_dgl.models.atoms.agni:AGNI", "AGNI-type invariant sums (Botu et al. 2017)"
        ),
        "schnet": Entry(
            "csgnn_dgl.models.atoms.schnet:SchNet",
            "continuous-filter convolutions between atoms (Schütt et al. 2018)",
        ),
    },
}


def model_plugins(domain: Domain) -> tuple[PlugIn, ...]:
    """All plug-ins that offer models, also those that cannot be used."""
    return find_plugins(f"csgnn_dgl.models.{domain}", tuple(MODELS[domain]))


def known_models(domain: Domain) -> dict[str, Entry]:
    """All models that have a name: the package's own, then those of plug-ins.

    Examples
    --------
    >>> list(known_models("shapes"))[:2]
    ['csgnn', 'pointnet']
    """
    others = {
        plugin.name: Entry(plugin.value, plugin.summary, plugin=plugin)
        for plugin in model_plugins(domain)
        if plugin.problem is None
    }
    return {**MODELS[domain], **others}


def find_entry(domain: Domain, name: str) -> Entry | None:
    """The model that is called ``name``; None if there is none.

    Raises
    ------
    ConfigError
        It is that of a plug-in that cannot be used.
    """
    if name in MODELS[domain]:
        return MODELS[domain][name]  # without a look at what is installed
    if is_users_own(name):
        return None
    for plugin in model_plugins(domain):
        if plugin.name == name and plugin.problem is not None:
            plugin.load()  # raises
    return known_models(domain).get(name)


def is_users_own(name: str) -> bool:
    """Whether ``name`` is a ``module:Class`` rather than the name of a model.

    Examples
    --------
    >>> is_users_own("my_models:HexNet"), is_users_own("csgnn")
    (True, False)
    """
    return ":" in name


def name_of(model: Any) -> str:
    """The name of ``model`` in a header: a string unchanged, a class as ``module:Class``.

    Raises
    ------
    ConfigError
        ``model`` is neither a string nor a class at the top of a module.
    """
    if isinstance(model, str):
        return model
    if not inspect.isclass(model):
        raise ConfigError(f"the model is {quoted(model)}, but it must be a name or a class")
    place = f"{model.__module__}:{model.__qualname__}"
    for domain in MODELS:
        for name, entry in known_models(domain).items():
            if entry.path == place:
                return name
    if "<locals>" in place:
        raise ConfigError(
            f"the class {model.__qualname__} is defined inside a function, so it cannot be found "
            f"by name later; move it to the top of its module"
        )
    return place


def permitted_name(name: str, domain: Domain, named: Any, source: str) -> str:
    """Check that the model ``name`` from the file ``source`` may be imported, and return the name.

    Parameters
    ----------
    name
        Name in the file.
    domain
        Kind of input of the model.
    named
        The model that the user named, or None.
    source
        The file, for messages.

    Raises
    ------
    CheckpointError
        The model is a user's own and the user did not name it; it is not part of this version; or
        the user named another model.
    """
    said = None if named is None else name_of(named)
    shown = excerpt(name)
    if said is not None and said != name:
        moved = is_users_own(name) and is_users_own(said)
        raise CheckpointError(
            f"{source} holds the model {shown!r}, but {said!r} was named; name {shown!r} instead"
            + moved * ". If the class was moved or renamed, keep its old name as an alias"
        )
    if is_users_own(name):
        if said is None:
            raise CheckpointError(
                f"{source} needs the model {shown}, which is not part of csgnn-dgl. A module is "
                f"imported only if you name it: give --model {shown} (in Python, model=...)"
            )
    elif find_entry(domain, name) is None:
        raise CheckpointError(
            f"{source} needs the model {shown!r}, which this version of csgnn-dgl does not have; "
            f"upgrade csgnn-dgl, or install the plug-in that offers it. "
            f"{suggest(name, known_models(domain))}"
        )
    return name


def find_hypers(domain: Domain, model: Any) -> type[Hypers]:
    """Find the class of the options of a model.

    Raises
    ------
    ConfigError
        As in :func:`find_class`.
    """
    entry = find_entry(domain, model) if isinstance(model, str) else None
    if entry is not None and entry.hypers is not None:
        found: type[Hypers] = load_named(entry.hypers)
        return found
    hypers: type[Hypers] = find_class(domain, model).Hypers
    return hypers


def find_class(domain: Domain, model: Any) -> Any:
    """Import the class of a model, and check it against the contract.

    Parameters
    ----------
    domain
        Kind of input of the model.
    model
        A registered name, ``module:Class``, or a class.

    Returns
    -------
    type
        A :class:`~csgnn_dgl.models.ShapeModel` or :class:`~csgnn_dgl.models.AtomModel`.

    Raises
    ------
    ConfigError
        The name is unknown (the message names the nearest one), the module cannot be imported or
        has no such class, or the class breaks the contract (the message names the clause).
    """
    from csgnn_dgl.models.contract import check_class

    name = name_of(model)
    if inspect.isclass(model):
        return check_class(model, domain, name)
    entry = find_entry(domain, name)
    if entry is None and not is_users_own(model):
        others = [d for d in MODELS if d != domain and model in known_models(d)]
        what = (
            f"{quoted(model)} is a model of {others[0]}, not of {domain}"
            if others
            else (f"unknown model {quoted(model)}")
        )
        raise ConfigError(
            f"{what}: {suggest(model, known_models(domain))}; or module:Class of your own"
        )
    return check_class(load_named(model) if entry is None else entry.load(), domain, model)


def load_named(path: str) -> Any:
    """Import the object that ``module:Class`` names.

    Raises
    ------
    ConfigError
        No such module or class, or the module fails when it is imported.
    """
    module_name, _, attribute = path.partition(":")
    if not module_name or not attribute or ":" in attribute:
        raise ConfigError(f"the model is {quoted(path)}, but your own must be named module:Class")
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        parents = (module_name, *(module_name[:i] for i, c in enumerate(module_name) if c == "."))
        if error.name not in parents:
            raise ConfigError(
                f"the module {module_name} needs {error.name}, which is not installed"
            ) from error
        here = Path(*module_name.split("."))
        near = here.with_suffix(".py").is_file() or here.is_dir()
        hint = (
            "it is in this folder, which is not on Python's path; set PYTHONPATH=."
            if near
            else "install it, or put its folder on PYTHONPATH"
        )
        raise ConfigError(f"there is no module {quoted(module_name)}: {hint}") from error
    # A user's module may raise anything when it is imported; a script may call sys.exit.
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the module {module_name} cannot be imported ({type(error).__name__}: {error}); "
            f"--debug shows where"
        ) from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            classes = [n for n, value in vars(found).items() if inspect.isclass(value)]
            raise ConfigError(
                f"{module_name} has no class {attribute!r}: {suggest(attribute, classes)}"
            )
        found = getattr(found, part)
    return found
