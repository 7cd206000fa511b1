"""Find the Dask workers: on this machine, or those of a scheduler that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from csgnn_dgl import __version__
from csgnn_dgl._foreign import excerpt, quoted
from csgnn_dgl._progress import working
from csgnn_dgl.errors import ConfigError, MissingDependencyError, ResourceError

__all__ = ["WorkerWatch", "check_installed", "connected", "number_of_workers"]

# Time to wait for an answer of a scheduler [s]. With the imports, a command ends within 10 s.
_PATIENCE = 5.0
# Dask does not start a worker again that died before it was known to run, or that cannot start.
# Workers that are missing for this time are replaced on this machine [s].
_REPLACED_AFTER = 20.0
# Without any worker for this time, the run ends [s]: on this machine, and with a scheduler, whose
# workers may have to wait for a place in the queue of a cluster.
_ENDS_AFTER, _ENDS_AFTER_QUEUE = 300.0, 3600.0
_LOOK_EVERY = 1.0


def check_installed() -> None:
    """Refuse to begin without the libraries that many processes need.

    Raises
    ------
    MissingDependencyError
        One of them is missing.
    """
    for name in ("distributed", "pyarrow"):
        if importlib.util.find_spec(name) is None:
            raise MissingDependencyError(
                f"--jobs and --scheduler need {name}, which is not installed: pip install "
                f"'csgnn-dgl[cluster]'"
            )


@contextlib.contextmanager
def connected(jobs: int | None, scheduler: str | None) -> Iterator[Any]:
    """Yield a client of Dask with workers.

    Parameters
    ----------
    jobs
        Number of processes to start on this machine, with one thread each.
    scheduler
        Address of a scheduler that runs already.

    Raises
    ------
    ConfigError
        The address is not that of a scheduler.
    ResourceError
        The scheduler does not answer within some seconds, or its workers have another version of
        this package, or processes cannot be started.
    """
    if scheduler is not None:
        with _remote(scheduler) as client:
            yield client
        return
    assert jobs is not None
    with _local(jobs) as client:
        yield client


@contextlib.contextmanager
def _local(jobs: int) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    settings = {
        # We count the deaths of workers ourselves; see run.py.
        "distributed.scheduler.allowed-failures": 0,
        # A worker that is short of memory is ended rather than left waiting for ever.
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.target": False,
        # The default makes glibc return memory all the time; see tasks/allocator.py.
        "distributed.nanny.pre-spawn-environ": {
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        "distributed.comm.timeouts.connect": "60s",
    }
    with (
        tempfile.TemporaryDirectory(prefix="csgnn-", ignore_cleanup_errors=True) as folder,
        dask.config.set(settings),
    ):
        try:
            cluster = LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                # Otherwise it takes a port that others may use.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                local_directory=folder,
                silence_logs=logging.CRITICAL,
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            raise ResourceError(
                f"{jobs} worker processes cannot be started: {excerpt(error)}; choose fewer --jobs"
            ) from error
        with cluster, Client(cluster) as client:
            yield client


@contextlib.contextmanager
def _remote(address: str) -> Iterator[Any]:
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # A client waits for ever for a server that accepts connections and says nothing.
    try:
        asyncio.run(asyncio.wait_for(_ask(address), _PATIENCE))
    except (OSError, asyncio.TimeoutError, EOFError) as error:
        raise ResourceError(
            f"no Dask scheduler answers at {address} within {_PATIENCE:g} s; start one (dask "
            f"scheduler), correct the address, or use --jobs on this machine"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"--scheduler {quoted(address)} is no address of a Dask scheduler "
            f"({excerpt(error)}); give one such as tcp://node1:8786"
        ) from error
    with Client(address, set_as_default=False) as client:
        _check_workers(client, address)
        yield client


async def _ask(address: str) -> None:
    """Ask a scheduler who it is; raises whatever a wrong or silent one makes Dask raise."""
    from distributed.comm import connect
    from distributed.security import Security

    settings = Security().get_connection_args("client")
    comm = await connect(address, timeout=_PATIENCE, **settings)
    try:
        await comm.write({"op": "identity", "reply": True})
        answer = await comm.read()
        if not isinstance(answer, dict) or answer.get("type") != "Scheduler":
            raise ValueError("what answers there is not a scheduler")
    finally:
        comm.abort()


def _check_workers(client: Any, address: str) -> None:
    """Refuse workers that would compute something else, or nothing."""
    from csgnn_dgl.tasks.many.part import installed_version

    with working(f"waiting for a worker of {address}"):
        try:
            there = client.submit(installed_version, pure=False).result()
        except ImportError as error:
            raise MissingDependencyError(
                f"the workers of {address} cannot import csgnn_dgl ({excerpt(error)}); install "
                f"csgnn-dgl[cluster] {__version__} for them"
            ) from error
    if there != __version__:
        raise ResourceError(
            f"the workers of {address} have csgnn-dgl {there}, and this is {__version__}; install "
            f"the same version for both"
        )


def number_of_workers(client: Any) -> int:
    """The number of workers at this moment; 0 if the scheduler has none yet."""
    return len(client.nthreads())


class WorkerWatch:
    """Notices that workers are gone and do not come back, so that no run waits for ever.

    Parameters
    ----------
    client
        The client of :func:`connected`.
    jobs
        Number of processes that were started on this machine; None for those of a scheduler.
    """

    def __init__(self, client: Any, jobs: int | None) -> None:
        self._client, self._jobs = client, jobs
        self._looked = time.monotonic()
        # When workers were first seen to be missing, or all of them.
        self._missing: float | None = None
        self._none: float | None = None

    def look(self) -> None:
        """Replace missing workers of this machine; looks once a second at most.

        Raises
        ------
        ResourceError
            There has been no worker for minutes.
        """
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        try:
            count = number_of_workers(self._client)
        except OSError:  # the connection is lost, of which the futures tell
            return
        self._none = None if count else self._none or now
        self._missing = None if count >= (self._jobs or 0) else self._missing or now
        if self._jobs and self._missing and now - self._missing >= _REPLACED_AFTER:
            cluster = self._client.cluster
            cluster.scale(len(cluster.worker_spec) + self._jobs - count)
            self._missing = None
        patience = _ENDS_AFTER if self._jobs else _ENDS_AFTER_QUEUE
        if self._none and now - self._none >= patience:
            raise ResourceError(f"there has been no worker process for {patience:g} s")
