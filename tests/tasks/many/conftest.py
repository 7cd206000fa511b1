"""Two worker processes that the tests of this folder share."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two worker processes of one thread each."""
    pytest.importorskip("distributed")
    pytest.importorskip("pyarrow")
    import dask
    from distributed import LocalCluster

    settings = {"distributed.scheduler.allowed-failures": 0}
    with warnings.catch_warnings(), dask.config.set(settings):
        # Sockets that the event loop of another test left open are not ours.
        warnings.simplefilter("ignore", ResourceWarning)
        with LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            local_directory=str(tmp_path_factory.mktemp("dask")),
            silence_logs=logging.CRITICAL,
        ) as cluster:
            yield cluster.scheduler_address
