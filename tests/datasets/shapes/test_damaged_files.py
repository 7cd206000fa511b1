"""Files that crashed, hung or misled a reader once, read with limits on time and memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUFFIXES = (".off", ".obj", ".ply", ".stl", ".npy", ".npz", ".pts")
# The others are refused.
SOUND = ("npy_9.99989e-321.npy", "off_9.99989e-321.off", "ply_quad_ok.ply")
# A vertex that no face uses is infinite.
UNUSED = ("ply_longword.ply",)

READ = """
import resource, sys, time
from pathlib import Path

from csgnn_dgl._open3d import import_open3d
from csgnn_dgl.datasets.shapes import load_dataset, load_shape
from csgnn_dgl.errors import DataError

import_open3d()
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), used + (1 << 30)))
for line in sys.stdin.read().splitlines():
    path = Path(line)
    start = time.process_time()
    try:
        load_dataset(path, points=8) if path.is_dir() else load_shape(path, points=3)
        result = "sound"
    except DataError as error:
        result = str(error).replace("\\n", " / ")
    print(f"{path.name}\\t{time.process_time() - start:.1f}\\t{result}", flush=True)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
@pytest.mark.usefixtures("open3d")
def test_every_damaged_file_is_read_or_refused(shared_data: Path) -> None:
    folder = shared_data / "damaged"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    files = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    files.append(folder / "hdf5_label_2e9")
    done = subprocess.run(
        [sys.executable, "-c", READ],
        input="\n".join(map(str, files)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, _, _ in found] == [path.name for path in files]
    for name, seconds, result in found:
        assert float(seconds) < 5, name
        assert (result == "sound") == (name in SOUND + UNUSED), f"{name}: {result}"
        assert len(result) < 600, name
