"""Train in a run directory, for every target: processes, checkpoints, interruptions."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from csgnn_dgl._foreign import excerpt, parse_integer, quoted, reading
from csgnn_dgl.errors import (
    CheckpointError,
    ConfigError,
    ResourceError,
    StoppedError,
)
from csgnn_dgl.nn.layer_sync import BatchNormSync
from csgnn_dgl.tasks.callbacks import Averaging, KeepWeights, ShowProgress
from csgnn_dgl.tasks.checkpoint_io import AtomicCheckpointIO
from csgnn_dgl.tasks.config import TrainingConfig
from csgnn_dgl.tasks.history import History
from csgnn_dgl.tasks.loggers import run_loggers
from csgnn_dgl.tasks.run_directory import RunDirectory
from csgnn_dgl.tasks.same_data import same_data
from csgnn_dgl.tasks.seeds import derive_seed
from csgnn_dgl.tasks.training_task import TrainingTask
from csgnn_dgl.tasks.weights import Header, load_weights, save_weights

__all__ = ["Echo", "fit", "is_first_process", "new_run", "require_free", "seed_weights", "silent"]

# Lightning starts further processes by running the same command again. This environment variable
# tells them the run directory.
_RUN_VARIABLE = "CSGNN_RUN_DIRECTORY"

Echo = Callable[[str], object]
Task = TrainingTask[Any, Any]
#: From the index of this process and the number of all to batches for training and validation.
MakeLoaders = Callable[[int, int], tuple[Any, Any]]


def silent(line: str) -> None:
    """Print nothing."""


def is_first_process() -> bool:
    """Whether this is the only process, or the one that writes and prints."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def require_free(config: TrainingConfig) -> None:
    """Check the path for the run before any work that takes time.

    Raises
    ------
    CSGNNError
        The path holds a run already, or other files.
    """
    if config.output is not None and is_first_process() and _RUN_VARIABLE not in os.environ:
        RunDirectory.require_free(config.output)


@contextmanager
def new_run(config: TrainingConfig, command: str) -> Iterator[RunDirectory]:
    """Make a new run directory; further processes use that of the first.

    If the data, the options or a user's own model turn out to be unusable before the first epoch,
    the directory is removed again, so that the user can correct them and give the same command.

    Raises
    ------
    CSGNNError
        The directory exists or cannot be made, or the first process did not make it.
    """
    run = _begin_run(config, command)
    try:
        yield run
    except Exception as error:
        if is_first_process() and not isinstance(error, (ResourceError, StoppedError)):
            run.discard_unused()
        raise
    finally:
        os.environ.pop(_RUN_VARIABLE, None)


def _begin_run(config: TrainingConfig, command: str) -> RunDirectory:
    if is_first_process():
        # An absolute path, so that the run can be evaluated from any folder.
        saved = config.model_copy(update={"data": config.place_of_data})
        run = RunDirectory.create(config.output, command, saved.to_yaml())
        os.environ[_RUN_VARIABLE] = str(run.path.resolve())
        return run
    place = os.environ.get(_RUN_VARIABLE) or config.output
    if place is None:
        raise ConfigError(
            "training on several machines needs a folder that they share; give it with --output"
        )
    for _ in range(600):
        if (Path(place) / "config.yaml").is_file():
            return RunDirectory.open(Path(place))
        time.sleep(0.1)
    raise CheckpointError(
        f"the first process did not make the run directory {place} within a minute; see its output"
    )


def seed_weights(seed: int) -> None:
    """Seed the generators of initial weights."""
    seed_everything(derive_seed(seed, "weights") % 2**32, workers=True, verbose=False)


def fit(
    run: RunDirectory,
    task: Task,
    header: Header,
    make_loaders: MakeLoaders,
    *,
    command: str,
    echo: Echo = silent,
) -> tuple[History, KeepWeights] | None:
    """Train ``task`` in ``run``, from the beginning or from its last checkpoint.

    Parameters
    ----------
    run
        The run directory.
    task
        The task to train.
    header
        Header of the weights. If the run was started before, its data must be the same as then
        (:func:`~csgnn_dgl.tasks.same_data.same_data`).
    make_loaders
        Makes the batches of one process.
    command
        As in ``csgnn-dgl train <command>``, for messages.
    echo
        Called with a line per epoch.

    Returns
    -------
    tuple or None
        Metrics of all epochs, and the epoch that was kept; None in further processes.

    Raises
    ------
    CSGNNError
        The data have changed, a checkpoint is damaged, or the disk is full. All complete epochs
        are saved.
    StoppedError
        The training was stopped by Ctrl-C or SIGTERM. All complete epochs are saved.
    """
    _check_unchanged(run, header)
    first = is_first_process()
    history = History(run.metrics, echo if first else silent)
    averaging = Averaging(task.config.ema_decay) if task.config.ema_decay else None
    keep = KeepWeights(
        task.config.select, lambda state: save_weights(run.model, state, header), averaging
    )
    callbacks: list[Callback] = [history, keep]
    # The average is the first callback, so that it is updated before it is saved.
    callbacks = ([averaging] if averaging else []) + callbacks
    go_on = f"resume with: csgnn-dgl train {command} --resume {run.path}"
    options = task.config.model_dump(mode="json")
    try:
        with (
            run.locked() if first else nullcontext(),
            run_loggers(run, task.config.logger, options, first=first) as loggers,
        ):
            trainer = _trainer(run, task.config, callbacks, loggers)
            loaders = make_loaders(trainer.global_rank, trainer.world_size)
            _run(trainer, task, loaders, run.last_checkpoint, history)
    except ResourceError as error:
        raise ResourceError(f"{error}. All complete epochs are saved; then {go_on}") from error
    except SystemExit as stop:
        # After Ctrl-C and SIGTERM, Lightning exits without a message, with status 1 and 0.
        if not (first and trainer.interrupted):
            raise
        raise StoppedError(
            f"stopped in epoch {trainer.current_epoch + 1}; all complete epochs are saved; {go_on}"
        ) from stop
    return (history, keep) if first else None


def _check_unchanged(run: RunDirectory, header: Header) -> None:
    if not run.model.is_file():
        return
    before, _ = load_weights(run.model, header.kind)
    if not same_data(before.data, header.data):
        raise CheckpointError(
            f"the data have changed since {run.path} was started ({before.data.get('source')}, now "
            f"{header.data['source']}); restore them, or start a new run"
        )


def _devices(text: str) -> str | int:
    number = parse_integer(text)
    return text if number is None else number


def _trainer(
    run: RunDirectory, config: TrainingConfig, callbacks: list[Callback], loggers: list[Logger]
) -> Trainer:
    # Lightning's own bar writes to standard output, and adds a version of the logger to it.
    # It ends the line of progress before the others print.
    callbacks = [ShowProgress(), *callbacks]
    callbacks.append(
        ModelCheckpoint(
            dirpath=run.path,
            filename="last",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
    )
    # Lightning's notes on hardware and products would bury our own lines.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    try:
        return Trainer(
            accelerator=config.accelerator,
            devices=_devices(config.devices),
            num_nodes=config.num_nodes,
            precision=config.precision,
            max_epochs=config.epochs,
            gradient_clip_val=config.gradient_clip or None,
            callbacks=callbacks,
            # Several processes then train like one with all their samples in one batch.
            sync_batchnorm=True,
            plugins=[AtomicCheckpointIO(), BatchNormSync()],
            logger=loggers,
            use_distributed_sampler=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
        )
    # Lightning raises all of these for devices that cannot be used.
    except (MisconfigurationException, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise ConfigError(
            f"Lightning cannot use accelerator {quoted(config.accelerator)} with devices "
            f"{quoted(config.devices)}: {excerpt(error)}; csgnn-dgl doctor lists the devices of "
            f"this machine"
        ) from error


def _run(
    trainer: Trainer, task: Task, loaders: tuple[Any, Any], last: Path, history: History
) -> None:
    with warnings.catch_warnings():
        # The data are in memory already: worker processes would only copy them.
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        # The run directory holds its configuration before training starts, so it exists.
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists")
        # A run that was moved or copied continues at its present path.
        warnings.filterwarnings("ignore", message="The dirpath has changed")
        # Steps that are recorded as CUDA graphs run on a stream of their own, and wait for it.
        warnings.filterwarnings("ignore", message=".*AccumulateGrad node's stream does not match")
        # Lightning itself uses this deprecated part of torch.
        warnings.filterwarnings("ignore", message=".*LeafSpec.* is deprecated")
        training, validation = loaders
        checkpoint = last if last.exists() else None
        try:
            trainer.fit(task, training, validation, ckpt_path=checkpoint, weights_only=True)
        except Exception:
            if checkpoint is None or history.begun:
                raise
            # Lightning and torch raise anything if an entry is not what they expect.
            with reading(
                checkpoint, CheckpointError, "remove it to start the run from the beginning"
            ):
                raise
