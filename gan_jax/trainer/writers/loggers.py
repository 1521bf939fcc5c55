"""Experiment trackers: TensorBoard, Weights & Biases, MLflow and Aim behind one protocol.

A tracker receives the configuration once, the metrics of each logged step, the grid of each sampled step, and the final metrics. It is
made in process 0 only. A tracker that fails is named in one line, and training continues without it.
"""

import contextlib
import functools
import glob
import importlib.util
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gan_jax.trainer.config import Config, ConfigError, flatten

Scalars = Mapping[str, float]


class Logger(Protocol):
    """An experiment tracker."""

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Logs the metrics of a step."""

    def write_image(self, step: int, image: np.ndarray) -> None:
        """Logs the grid of samples of a step, uint8 [height, width, channels]."""

    def close(self, final: Scalars) -> None:
        """Logs the final metrics and closes the tracker."""


class TensorBoardLogger:
    """Writes TensorBoard files to the folder `tensorboard` of the run: scalars, grids, and the configuration as hyperparameters.

    tensorboardX is imported at the first write. The import is slow, and it then overlaps with the first steps on the device.

    Args:
        config: The configuration of the run.
        directory: Directory of the run.
        step: The step at which the run starts or continues. Later steps in existing files are hidden.
    """

    package = "tensorboardX"

    def __init__(self, config: Config, directory: Path, step: int):
        self._options = {"logdir": str(directory / "tensorboard"), "purge_step": step + 1 if step else None}
        self._hyperparameters = {path: value if isinstance(value, int | float) else str(value) for path, value in flatten(config).items()}
        self._hyperparameters.pop("out", None)

    @functools.cached_property
    def _writer(self) -> Any:
        from tensorboardX import SummaryWriter

        writer = SummaryWriter(**self._options, filename_suffix=f".{time.time_ns()}")
        self._rename_files()
        return writer

    def _rename_files(self) -> None:
        """Removes the name of the machine, which tensorboardX puts into the names of its files. A run can be published."""
        host = socket.gethostname()
        for path in Path(self._options["logdir"]).rglob(f"events.out.tfevents.*.{glob.escape(host)}*"):
            with contextlib.suppress(OSError):  # Windows does not rename an open file.
                path.rename(path.with_name(path.name.replace(f".{host}", "", 1)))

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Logs the metrics of a step."""
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def write_image(self, step: int, image: np.ndarray) -> None:
        """Logs the grid of samples of a step."""
        self._writer.add_image("samples", image, step, dataformats="HWC")

    def close(self, final: Scalars) -> None:
        """Logs the final metrics with the configuration, and closes the files."""
        if final:
            self._writer.add_hparams(self._hyperparameters, {f"final/{name}": value for name, value in final.items()}, name="final")
        if "_writer" in self.__dict__:
            self._writer.close()
            self._rename_files()


class WandbLogger:
    """Logs to Weights & Biases. `WANDB_MODE=offline` writes to the directory of the run, for `wandb sync`.

    Args:
        config: The configuration of the run.
        directory: Directory of the run. Its name is the name in the tracker.
        step: The step at which the run starts or continues.
    """

    package = "wandb"

    def __init__(self, config: Config, directory: Path, step: int):
        import wandb

        self._wandb = wandb
        settings = wandb.Settings(console="off", quiet=True)
        about = {"project": config.log.project, "name": directory.name, "config": _texts(config), "settings": settings}
        self._run = wandb.init(dir=str(directory), **about)

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Logs the metrics of a step."""
        self._run.log(dict(scalars), step=step)

    def write_image(self, step: int, image: np.ndarray) -> None:
        """Logs the grid of samples of a step."""
        self._run.log({"samples": self._wandb.Image(_pixels(image))}, step=step)

    def close(self, final: Scalars) -> None:
        """Logs the final metrics as the summary, and ends the tracked run."""
        self._run.summary.update({f"final/{name}": value for name, value in final.items()})
        self._run.finish()


class MlflowLogger:
    """Logs to MLflow. `MLFLOW_TRACKING_URI` names the server. Without it the run has a database `mlflow.db`.

    Args:
        config: The configuration of the run.
        directory: Directory of the run.
        step: The step at which the run starts or continues.
    """

    package = "mlflow"

    def __init__(self, config: Config, directory: Path, step: int):
        import os

        from mlflow import MlflowClient

        address, pictures = os.environ.get("MLFLOW_TRACKING_URI"), None
        if not address:
            address, pictures = f"sqlite:///{(directory / 'mlflow.db').resolve()}", (directory / "mlflow").resolve().as_uri()
        self._client = MlflowClient(address)
        found = self._client.get_experiment_by_name(config.log.project)
        experiment = found.experiment_id if found else self._client.create_experiment(config.log.project, artifact_location=pictures)
        self._run = self._client.create_run(experiment, run_name=directory.name).info.run_id
        for path, value in _texts(config).items():
            self._client.log_param(self._run, path, value)

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Logs the metrics of a step."""
        for name, value in scalars.items():
            self._client.log_metric(self._run, name, value, step=step)

    def write_image(self, step: int, image: np.ndarray) -> None:
        """Logs the grid of samples of a step."""
        from PIL import Image

        self._client.log_image(self._run, Image.fromarray(_pixels(image)), f"samples/step_{step:08d}.png")

    def close(self, final: Scalars) -> None:
        """Logs the final metrics and ends the tracked run."""
        for name, value in final.items():
            self._client.log_metric(self._run, f"final/{name}", value)
        self._client.set_terminated(self._run)


class AimLogger:
    """Logs to Aim: to the repository around the working directory (`aim init` makes one), or else to one in the directory of the run.

    Args:
        config: The configuration of the run.
        directory: Directory of the run. Its name is the name in the tracker.
        step: The step at which the run starts or continues.
    """

    package = "aim"

    def __init__(self, config: Config, directory: Path, step: int):
        import aim

        self._image = aim.Image
        here = Path.cwd()
        repository = next((path for path in (here, *here.parents) if aim.Repo.exists(str(path))), directory)
        quiet = {"system_tracking_interval": None, "log_system_params": False, "capture_terminal_logs": False}
        self._run = aim.Run(repo=str(repository), experiment=config.log.project, **quiet)
        self._run.name = directory.name
        self._run["hparams"] = _texts(config)

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Logs the metrics of a step."""
        for name, value in scalars.items():
            self._run.track(value, name=name, step=step)

    def write_image(self, step: int, image: np.ndarray) -> None:
        """Logs the grid of samples of a step."""
        from PIL import Image

        self._run.track(self._image(Image.fromarray(_pixels(image))), name="samples", step=step)

    def close(self, final: Scalars) -> None:
        """Logs the final metrics, and closes the tracked run."""
        self._run["final"] = dict(final)
        self._run.close()


LOGGERS: dict[str, Callable[[Config, Path, int], Logger]] = {"wandb": WandbLogger, "mlflow": MlflowLogger, "aim": AimLogger}


def _pixels(image: np.ndarray) -> np.ndarray:
    """A grid as Pillow takes it: without an axis of one channel."""
    return image[..., 0] if image.shape[-1] == 1 else image


def _texts(config: Config) -> dict[str, Any]:
    """The configuration as the trackers show it: numbers, truth values and texts by dotted path."""
    return {path: value if isinstance(value, bool | int | float) else str(value) for path, value in flatten(config).items()}


def check_loggers(config: Config) -> None:
    """Checks that the packages of the requested trackers are installed.

    Raises:
        ConfigError: A package is missing.
    """
    for name, kind in LOGGERS.items():
        package = kind.package  # type: ignore[attr-defined]
        if getattr(config.log, name) and importlib.util.find_spec(package) is None:
            raise ConfigError(f'--log.{name}: needs the package {package}: pip install "gan-jax[{name}]"')


class Loggers:
    """All trackers of a run. One that fails is named in one line and left out from then on.

    Args:
        config: The configuration of the run.
        directory: Directory of the run.
        step: The step at which the run starts or continues.
        print_line: Prints a line.
    """

    def __init__(self, config: Config, directory: Path, step: int, print_line: Callable[[str], object]):
        self._print = print_line
        self._loggers: dict[str, Logger] = {}
        if config.tensorboard and importlib.util.find_spec("tensorboardX") is None:
            print_line('no TensorBoard files: they need the package tensorboardX: pip install "gan-jax[train]"')
        elif config.tensorboard:
            self._loggers["TensorBoard"] = TensorBoardLogger(config, directory, step)
        for name, kind in LOGGERS.items():
            if getattr(config.log, name):
                self._guarded(f"--log.{name}", lambda name=name, kind=kind: self._loggers.update({name: kind(config, directory, step)}))

    def _guarded(self, name: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:  # A tracker is a stranger's code and often a network. Whatever it raises must not end training.
            self._loggers.pop(name, None)
            text = " ".join(str(error).split())[:200] or type(error).__name__
            self._print(f"{name}: {text}; training continues without it")

    def write_scalars(self, step: int, scalars: Scalars) -> None:
        """Logs the metrics of a step."""
        for name, logger in list(self._loggers.items()):
            self._guarded(name, lambda logger=logger: logger.write_scalars(step, scalars))

    def write_image(self, step: int, image: np.ndarray) -> None:
        """Logs the grid of samples of a step."""
        for name, logger in list(self._loggers.items()):
            self._guarded(name, lambda logger=logger: logger.write_image(step, image))

    def close(self, final: Scalars) -> None:
        """Logs the final metrics and closes all trackers."""
        for name, logger in list(self._loggers.items()):
            self._guarded(name, lambda logger=logger: logger.close(final))
        self._loggers.clear()
