"""Two worker processes that the tests of this folder share."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator

import pytest

from csgnn_dgl.tasks.many.cluster import WorkerWatch

_WORKERS = 2


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with two worker processes of one thread each.

    Dask does not start a worker again that dies before it is known to run, as on a busy machine it
    may. A run cannot replace workers of a scheduler that it was told of, so this does.
    """
    pytest.importorskip("distributed")
    pytest.importorskip("pyarrow")
    import dask
    from distributed import Client, LocalCluster

    settings = {"distributed.scheduler.allowed-failures": 0}
    with warnings.catch_warnings(), dask.config.set(settings):
        # Sockets that the event loop of another test left open are not ours.
        warnings.simplefilter("ignore", ResourceWarning)
        with LocalCluster(
            n_workers=_WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            local_directory=str(tmp_path_factory.mktemp("dask")),
            silence_logs=logging.CRITICAL,
        ) as cluster:
            done = threading.Event()

            def keep() -> None:
                with Client(cluster, set_as_default=False) as client:
                    watch = WorkerWatch(client, _WORKERS)
                    while not done.wait(1):
                        watch.look()

            keeper = threading.Thread(target=keep, daemon=True)
            keeper.start()
            yield cluster.scheduler_address
            done.set()
            keeper.join(timeout=20)
