"""Pages, the runs that they are about, and a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk

from csgnn_dgl.cli.main import main
from csgnn_dgl.datasets.shapes.solids import solid_points
from csgnn_dgl.models import Classifier
from csgnn_dgl.models.contract import ShapeModel
from csgnn_dgl.tasks.dos.config import TrainDOSConfig
from csgnn_dgl.tasks.dos.train import train
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.weights import Header, load_weights, save_weights

#: 4,672 parameters, 6 epochs on the built-in solids with 256 points: 60 % of validation shapes.
SOLIDS = Path(__file__).parent / "files" / "solids.safetensors"
#: 1,416 parameters, 6 epochs on 60 of each class, with cosine, planarity and normal at the sites:
#: 86 % of validation shapes.
FEATURED = SOLIDS.with_name("solids-features.safetensors")
C60 = Path(__file__).parents[2] / "docs" / "examples" / "c60-300K.extxyz"
_TYPES = {"u1": np.uint8, "i2": np.int16, "u2": np.uint16, "i4": np.int32, "f4": np.float32}
# A loaded machine draws 3-D scenes in software in a minute.
_PATIENCE = 150


@dataclass
class Page:
    """A page that was written: its text, and its data."""

    path: Path
    out: str = ""
    text: str = field(init=False)
    data: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.text = self.path.read_text(encoding="utf-8")
        found = re.search(r'id="payload">(.*?)</script>', self.text, re.DOTALL)
        assert found is not None
        self.data = _unpacked(json.loads(found[1]))


def _unpacked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if "packed" in value:
        content = zlib.decompress(base64.b64decode(value["data"]))
        return np.frombuffer(content, _TYPES[value["packed"]]).reshape(value["shape"])
    return {key: _unpacked(entry) for key, entry in value.items()}


@dataclass(frozen=True)
class Result:
    """What a command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Call the command line with words."""

    def call(*words: object) -> Result:
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        captured = capsys.readouterr()
        return Result(int(stop.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture
def page(run: Callable[..., Result], tmp_path: Path) -> Callable[..., Page]:
    """Call a command that writes a page, and read the page."""

    def call(*words: object) -> Page:
        path = tmp_path / "page.html"
        done = run(*words, "-o", path)
        assert (done.status, done.err) == (0, "")
        return Page(path, done.out)

    return call


@pytest.fixture(scope="session")
def solids() -> Path:
    """Weights of a small classifier of the built-in solids."""
    return SOLIDS


@pytest.fixture(scope="session")
def featured_solids() -> Path:
    """Weights of a small classifier of the built-in solids whose points carry features."""
    return FEATURED


@pytest.fixture
def tetrahedron(tmp_path: Path) -> Path:
    """A mesh, whose points have the normals of its faces."""
    path = tmp_path / "tetrahedron.off"
    corners = "1 1 1\n1 -1 -1\n-1 1 -1\n-1 -1 1\n"
    path.write_text(f"OFF\n4 4 6\n{corners}3 0 1 2\n3 0 3 1\n3 0 2 3\n3 1 3 2\n")
    return path


@pytest.fixture
def save(tmp_path: Path) -> Callable[[ShapeModel, str], Path]:
    """Write weights of a classifier of the built-in solids that uses an untrained model."""

    def write(model: ShapeModel, name: str) -> Path:
        path, network = tmp_path / f"{name}.safetensors", Classifier(model, 16, hidden=[8])
        known, _ = load_weights(SOLIDS, "classifier")
        described = Header(
            "classifier",
            {"name": name, "hypers": model.hypers.model_dump(mode="json")},
            {"hidden": [8], "dropout": 0.0},
            known.class_names,
            known.data,
        )
        save_weights(path, network.state_dict(), described)
        return path

    return write


@pytest.fixture(scope="session")
def c60() -> Path:
    """A structure on which ``carbon-tb`` is at home."""
    return C60


@pytest.fixture
def trefoil(tmp_path: Path) -> Path:
    """A cloud of 300 points."""
    path = tmp_path / "trefoil.npy"
    np.save(path, solid_points("trefoil", 300, seed=9))
    return path


@pytest.fixture(scope="session")
def class_run(clouds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a classifier of three classes, which no test changes."""
    path = tmp_path_factory.mktemp("viewing") / "classes"
    words = ["train", "modelnet", "--data", str(clouds), "--output", str(path), "--level", "1"]
    words += ["--n-spheres", "2", "--channels", "2", "--base-width", "4", "--hidden", "16"]
    words += ["--points", "64", "--batch-size", "4", "--validation-fraction", "0.34"]
    words += ["--accelerator", "cpu", "--epochs", "2", "--learning-rate", "0.01"]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    return path


def _diamonds(count: int, seed: int) -> list[Any]:
    rng, energies, frames = np.random.default_rng(seed), -10 + 0.5 * np.arange(41), []
    for _ in range(count):
        atoms = bulk("C", "diamond", rng.uniform(3.3, 3.9))
        centre = -8 + 4 * (atoms.cell.lengths()[0] - 2.3)
        atoms.info["dos"] = 4 * np.exp(-((energies - centre) ** 2) / 2) / np.sqrt(2 * np.pi)
        atoms.info["electrons"] = 2.0
        frames.append(atoms)
    return frames


@pytest.fixture(scope="session")
def dos_run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of a model of densities of states, which no test changes."""
    folder = tmp_path_factory.mktemp("viewing")
    data = folder / "diamonds"
    data.mkdir()
    ase.io.write(data / "train.extxyz", _diamonds(12, 0), format="extxyz")
    ase.io.write(data / "test.extxyz", _diamonds(4, 1), format="extxyz")
    content = {
        "quantity": "electronic density of states",
        "energies": (-10 + 0.5 * np.arange(41)).tolist(),
        "unit": "eV",
        "zero": "vacuum level",
        "dos_unit": "states/eV/atom",
    }
    (data / "grid.json").write_text(json.dumps(content))
    small = {"level": 1, "channels": 4, "base_width": 4, "features": 8, "hidden": [8]}
    small |= {"cutoff": 4.0, "epochs": 2, "batch_size": 4, "accelerator": "cpu"}
    flags = {**small, "data": data, "output": folder / "run"}
    return train(TrainDOSConfig.resolve(flags=flags))


class Browser:
    """A headless Chromium."""

    def __init__(self, chromium: str, driver: str) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service

        options = Options()
        options.binary_location = chromium
        # WebGL in software; and no sandbox, which containers lack.
        for word in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
            options.add_argument(f"--{word}")
        for word in ("use-angle=swiftshader", "enable-unsafe-swiftshader", "window-size=1300,640"):
            options.add_argument(f"--{word}")
        options.add_argument("--disable-background-networking")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_script_timeout(_PATIENCE)
        self.driver.set_page_load_timeout(_PATIENCE)

    def open(self, path: Path) -> None:
        """Open a page, and wait until it is drawn."""
        self.errors()
        self.driver.get(path.resolve().as_uri())
        self.wait("return document.body.dataset.state || null")
        assert self.script("return document.body.dataset.state") == "drawn", self.errors()

    def script(self, code: str, *arguments: Any) -> Any:
        """Run JavaScript."""
        return self.driver.execute_script(code, *arguments)

    def wait(self, code: str, *arguments: Any) -> Any:
        """Wait until JavaScript returns something that is true."""
        start = time.monotonic()
        while time.monotonic() < start + _PATIENCE:
            if found := self.script(code, *arguments):
                return found
            time.sleep(0.1)
        raise AssertionError(f"not within {_PATIENCE} s: {code}; {self.errors()}")

    def set(self, name: str, value: object, event: str = "input") -> None:
        """Set a control, as its user does."""
        code = "const e = document.getElementById(arguments[0]);"
        code += "if (e.type === 'checkbox') e.checked = arguments[1]; else e.value = arguments[1];"
        self.script(f"{code} e.dispatchEvent(new Event('{event}'));", name, value)

    def click_point(self, x: int, y: int, done: str) -> bool:
        """Click at a place of a scene; returns whether that had an effect in 15 s.

        A scene knows what is under the pointer once it was drawn anew, which takes its time in
        software. So the pointer is moved a little, and the button is held down for a while.
        """
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).move_by_offset(x - 2, y).perform()
        start, step = time.monotonic(), 2
        while time.monotonic() < start + 15:
            moves = ActionChains(self.driver)
            for distance in (step, -step, step):
                moves = moves.move_by_offset(distance, 0).pause(0.7)
            moves.click_and_hold().perform()
            held = time.monotonic()
            while not (found := bool(self.script(done))) and time.monotonic() < held + 4:
                time.sleep(0.1)
            ActionChains(self.driver).release().perform()
            if found:
                return True
            step = -step
        return False

    def text(self, name: str) -> str:
        """Text of an element."""
        return str(self.script("return document.getElementById(arguments[0]).textContent", name))

    def errors(self) -> list[str]:
        """Errors in the console since the last call."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser, where Chromium, its driver and selenium are installed."""
    pytest.importorskip("selenium")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
    found = Browser(chromium, driver)
    yield found
    found.driver.quit()
