"""Run the tests on a Python for which there is no CPU build of torch: what needs torch is skipped.

``python .ci/without_torch.py`` prints the packages to install. ``pytest -p without_torch``, with
this folder in PYTHONPATH, runs the tests. ``python .ci/without_torch.py REPORT``, with pip's report
of what it would install as torch, fails if that build depends on CUDA.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

#: torch, and the packages that install it or import it first.
ABSENT = ("torch", "dgl", "lightning", "torchmetrics", "torch-geometric")
OURS = "csgnn_dgl"


def _requirements() -> Iterator[str]:
    for text in importlib.metadata.requires("csgnn-dgl") or []:
        requirement, _, marker = text.partition(";")
        name = re.split(r"[^\w-]", requirement)[0].lower()
        extra = re.search(r"extra == ['\"](\w+)", marker)
        if name not in ABSENT and (extra is None or extra[1] == "dev"):
            kept = re.sub(r"(?: and )?extra == ['\"]\w+['\"]", "", marker).strip()
            yield f"{requirement.strip()}; {kept}" if kept else requirement.strip()


def _brings_cuda(report: Path) -> bool:
    from pip._vendor.packaging.requirements import Requirement

    for item in json.loads(report.read_text(encoding="utf-8"))["install"]:
        for text in item["metadata"].get("requires_dist", []):
            needed = Requirement(text)
            if re.match("nvidia-|cuda-", needed.name) and (
                needed.marker is None or needed.marker.evaluate({"extra": ""})
            ):
                return True
    return False


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(_brings_cuda(Path(sys.argv[1])))
    print("\n".join(_requirements()))
    sys.exit()

import pytest  # noqa: E402  (not installed yet when the list is printed)


class _Skipper:
    """Skips a test, or a whole file, when it imports torch."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.replace("_", "-") in ABSENT:
            pytest.skip(f"needs {name}", allow_module_level=True)
        return None


sys.meta_path.insert(0, _Skipper())  # type: ignore[arg-type]


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Forget half-imported modules of a skipped file, so that the next file imports them again."""
    before = set(sys.modules)
    outcome = yield
    if outcome.get_result().skipped:  # type: ignore[attr-defined]
        for name in set(sys.modules) - before:
            if name.split(".")[0] == OURS:
                del sys.modules[name]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Skip a test whose child process has imported torch."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    child = getattr(call.excinfo.value, "stderr", "") if call.excinfo else ""
    said = f"{report.longrepr}\n{child}"
    if report.failed and "No module named 'torch'" in said:
        report.outcome = "skipped"
        report.longrepr = (str(item.path), None, "Skipped: a child process needs torch")
