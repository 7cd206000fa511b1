"""Packaging. Links make the folders ``cli`` and ``datasets`` parts of the package."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

REQUIRES = [
    "click>=8.2",
    # Sends users' own readers to worker processes.
    "cloudpickle>=3.0",
    "dgl>=2.1",
    "ase>=3.26",
    "filelock>=3.12",
    "gemmi>=0.6.6",
    "h5py>=3.11",
    "lightning>=2.6",
    "matplotlib>=3.9",
    # open3d is linked to libusb, which a minimal Linux lacks; this package contains it.
    "libusb-package>=1.0.26; platform_system == 'Linux' and platform_machine == 'x86_64'",
    # Cuts ears off concave polygons of meshes.
    "mapbox-earcut>=1.0.2",
    "networkx>=3.0",
    "numpy>=2.0",
    "packaging>=22",
    # This distribution has no web stack and no CUDA: 105 MB instead of 400.
    "open3d-cpu>=0.18; platform_system == 'Linux' and platform_machine == 'x86_64'",
    "open3d>=0.18; platform_system != 'Linux'",
    # Linux on aarch64 has open3d for Python 3.10 and 3.11. Only sampling meshes needs open3d.
    "open3d>=0.18; platform_system == 'Linux' and platform_machine == 'aarch64' "
    "and python_version < '3.12'",
    "pandas>=2.2.2",
    # Worker processes of which one may crash or hang alone.
    "pebble>=5.1",
    "platformdirs>=4.0",
    # Draws the pages of view and report; open3d brings it, too.
    "plotly>=6.0",
    "psutil>=5.9",
    "pydantic>=2.6",
    "pyyaml>=6.0",
    "scipy>=1.13",
    "safetensors>=0.4.3",
    "tensorboard>=2.15",
    "torch>=2.4",
    "torchmetrics>=1.7",
    "tqdm>=4.66",
    "typing-extensions>=4.12",
    "vesin>=0.4.2",
]
# Many structures or shapes in many processes.
CLUSTER = ["distributed>=2024.8", "lmdb>=1.4", "pyarrow>=16"]
DEV = [
    # Maps of atoms, structures and densities of states of other packages, in tests.
    "chemiscope>=1.0",
    "pymatgen>=2026.7; python_version >= '3.11'",
    "scikit-learn>=1.6",
    *CLUSTER,
    "mypy>=1.10",
    "pandas-stubs",
    "pre-commit>=3.7",
    "pytest>=9.0",
    "pytest-cov>=5.0",
    "pytest-xdist>=3.6",
    "ruff>=0.6",
    # Probes of embeddings, and a reference for measures of retrieval.
    # Drives Chromium in the tests of pages, where it is installed.
    "selenium>=4.20",
    "torch-geometric>=2.5",  # only for comparison in benchmarks
    # Its interpreter runs our kernels on a CPU. Not pinned: a torch for CUDA brings its own.
    "triton>=3.0; platform_system == 'Linux' and platform_machine == 'x86_64'",
    "types-PyYAML",
    "types-psutil",
    "types-tqdm",
]

# What is known. CITATION.cff names the repository, once there is a public one.
URLS = {"Paper": "https://arxiv.org/abs/2103.10484"}
REPOSITORY_KEY = "repository-code:"


def urls() -> dict[str, str]:
    citation = HERE / "CITATION.cff"
    lines = citation.read_text(encoding="utf-8").splitlines() if citation.exists() else []
    for line in lines:
        if line.startswith(REPOSITORY_KEY):
            source = line.removeprefix(REPOSITORY_KEY).strip(' "')
            tree, issues = f"{source}/blob/main", f"{source}/issues"
            documents = {
                "Documentation": f"{tree}/docs/index.md",
                "Changes": f"{tree}/CHANGELOG.md",
            }
            return {**URLS, "Source": source, "Issues": issues, **documents}
    return URLS


def version() -> str:
    text = (HERE / "csgnn_dgl" / "__init__.py").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("__version__"))
    return line.split('"')[1]


setup(
    name="csgnn-dgl",
    version=version(),
    description="Graph learning on concentric icosahedral spheres for 3-D data of any orientation",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    project_urls=urls(),
    # csgnn_dgl/cli and csgnn_dgl/datasets are links to the folders beside it.
    packages=find_packages(include=["csgnn_dgl", "csgnn_dgl.*"]),
    package_data={
        "csgnn_dgl": ["py.typed", "weights/*"],
        "csgnn_dgl.mapping": ["designed_votes.json"],
        "csgnn_dgl.datasets.atoms": ["files/carbon-tb-small/*"],
        "csgnn_dgl.viewing": ["files/*"],
    },
    python_requires=">=3.10,<3.13",
    install_requires=REQUIRES,
    extras_require={
        "dev": DEV,
        "docs": ["sphinx>=7.3", "furo", "myst-parser", "scikit-learn>=1.6", "sphinx-gallery>=0.17"],
        "cluster": CLUSTER,
        "parquet": ["pyarrow>=14"],
        # Atoms in and for other packages.
        "chemiscope": ["chemiscope>=1.0"],
        "pymatgen": ["pymatgen>=2025.1"],
        "sklearn": ["scikit-learn>=1.6"],
        # Loggers of trainings.
        "mlflow": ["mlflow>=2.8"],
        "wandb": ["wandb>=0.17"],
        "bench": ["dscribe>=2.1", "scikit-learn>=1.6"],
        "pyright": ["basedpyright>=1.20"],  # pyright that comes with node
    },
    entry_points={"console_scripts": ["csgnn-dgl = csgnn_dgl.cli.main:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
    ],
)
