"""Trackers: TensorBoard and MLflow are told what a run's log holds, and shown and played what the
model draws.

Both write into local files and ask nobody: no account, no network. `log.jsonl` is written whatever
is chosen here.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from tootlearn.data.clips import Clips
from tootlearn.dsp.audio import save_audio
from tootlearn.dsp.phase import ridge_integration
from tootlearn.errors import InputError
from tootlearn.figures import COLOURS, RANGE_LOG_MEL
from tootlearn.models.decoder import Condition
from tootlearn.models.toot_model import TootModel
from tootlearn.training import runs
from tootlearn.training.loop import OnCheck

Examples = dict[str, tuple[NDArray[np.uint8], Tensor]]  # picture (H, W, 3) and wave (N,) by name
EXAMPLES = 3  # held-out clips that are shown and played


class Tracker(Protocol):
    """Where a run is written to, besides its log."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Numbers of a check, by name."""

    def show(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        """A picture (H, W, 3)."""

    def play(self, step: int, name: str, wave: Tensor, sample_rate: int) -> None:
        """A wave (N,) in [-1, 1], as loud as it is."""

    def close(self, failed: bool) -> None:
        """The run has ended, or was cut short by an error."""


class TensorBoard:
    """Scalars, pictures, sounds, the config as text, and its fields beside the last numbers
    (hparams).

    Args:
        out: the folder of the run; the events are in its folder ``tensorboard``.
        config: of the run.
    """

    def __init__(self, out: Path, config: Any) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(out / "tensorboard"))
        self._writer.add_text("config", f"```\n{as_yaml(config)}```")
        self._fields, self._numbers = fields(config), dict[str, float]()

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, step)
        self._writer.flush()
        self._numbers = dict(numbers)

    def show(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        self._writer.add_image(name, image, step, dataformats="HWC")

    def play(self, step: int, name: str, wave: Tensor, sample_rate: int) -> None:
        self._writer.add_audio(name, wave[None], step, sample_rate)

    def close(self, failed: bool) -> None:
        plain = {
            n: v if isinstance(v, bool | int | float | str) else str(v)
            for n, v in self._fields.items()
        }
        ends = {
            f"end/{name}": number
            for name, number in self._numbers.items()
            if name.startswith("held_out/")
        }
        if ends:
            self._writer.add_hparams(plain, ends, run_name=".")
        self._writer.close()


class MLflow:
    """A run in the store ``mlflow.db`` (SQLite) beside the run's folder: metrics, fields, and as
    artifacts all else.

    A run that is resumed goes on as the same one. `mlflow ui --backend-store-uri
    sqlite:///runs/mlflow.db`, of the whole package mlflow, shows the store.

    Args:
        out: the folder of the run.
        config: of the run.
    """

    def __init__(self, out: Path, config: Any) -> None:
        from mlflow.entities import Metric
        from mlflow.tracking import MlflowClient

        self._metric, beside = Metric, out.resolve().parent
        self._client = client = MlflowClient(tracking_uri=f"sqlite:///{beside / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("tootlearn")
        where = (beside / "mlflow").as_uri()
        number = (
            experiment.experiment_id if experiment else client.create_experiment("tootlearn", where)
        )
        known = out / "mlflow.run"
        if known.exists() and (out / "checkpoint.safetensors").exists():
            self._run = known.read_text("utf8").strip()
            client.update_run(self._run, status="RUNNING")
        else:
            self._run = client.create_run(number, run_name=out.name).info.run_id
            known.write_text(self._run, encoding="utf8")
            for name, value in fields(config).items():
                client.log_param(self._run, name, value)
            client.log_text(self._run, as_yaml(config), "config.yaml")

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        self._client.log_batch(
            self._run, [self._metric(name, x, now, step) for name, x in numbers.items()]
        )

    def show(self, step: int, name: str, image: NDArray[np.uint8]) -> None:
        from matplotlib import image as files

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{Path(name).name}.png"
            files.imsave(path, image)
            self._client.log_artifact(
                self._run, str(path), f"{Path(name).parent.as_posix()}/{step:07d}"
            )

    def play(self, step: int, name: str, wave: Tensor, sample_rate: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{Path(name).name}.wav"
            save_audio(path, wave, sample_rate)
            self._client.log_artifact(
                self._run, str(path), f"{Path(name).parent.as_posix()}/{step:07d}"
            )

    def close(self, failed: bool) -> None:
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")


TRACKERS: dict[str, Callable[[Path, Any], Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
}
_NEEDS = {  # the extra, and what it has to bring
    "tensorboard": ("train", ("torch.utils.tensorboard",)),
    "mlflow": ("mlflow", ("alembic", "sqlalchemy", "mlflow.tracking")),
}


def check_trackers(names: Sequence[str]) -> None:
    """See that trackers of these names can be used.

    Raises:
        InputError: for an unknown name, or a package that is missing.
    """
    # it would tell its makers, over the network
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in names:
        if name not in TRACKERS:
            raise InputError(f"there is no tracker {name!r}: there are {', '.join(TRACKERS)}")
        extra, modules = _NEEDS[name]
        try:
            for module in modules:
                importlib.import_module(module)
        except ImportError as error:
            raise InputError(
                f"--track {name} needs a package ({error}): pip install 'tootlearn[{extra}]'"
            ) from error


@contextmanager
def open_trackers(
    names: Sequence[str],
    out: Path,
    config: Any,
    examples: Callable[[Any], Examples] | None = None,
    sample_rate: int = 22050,
) -> Iterator[OnCheck | None]:
    """What `loop.fit` calls at each evaluation, so that the trackers record it; they are closed in
    the end.

    Args:
        names: of `TRACKERS`.
        out: the folder of the run, made if necessary.
        config: of the run, a dataclass.
        examples: gets the model, and returns what is shown and played of it; None shows nothing.
        sample_rate: of the examples, Hz.

    Raises:
        InputError: as of `check_trackers`.
    """
    check_trackers(names)
    if not names:
        yield None
        return
    out.mkdir(parents=True, exist_ok=True)
    trackers: list[Tracker] = [TRACKERS[name](out, config) for name in dict.fromkeys(names)]

    def record(row: dict[str, Any], model: Any) -> None:
        step, numbers = row["step"], logged_numbers(row)
        shown = examples(model) if examples else {}
        for tracker in trackers:
            tracker.log(step, numbers)
            for name, (image, wave) in shown.items():
                tracker.show(step, name, image)
                tracker.play(step, name, wave, sample_rate)

    failed = True
    try:
        yield record
        failed = False
    finally:
        for tracker in trackers:
            tracker.close(failed)


def logged_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of the log: "train/NAME" for the loss's terms, "held_out/NAME" for the
    held-out errors.
    """
    numbers = {
        f"train/{name}": float(x)
        for name, x in row.items()
        if name != "step" and isinstance(x, int | float)
    }
    return numbers | {f"held_out/{name}": float(x) for name, x in row.get("held_out", {}).items()}


def fields(config: Any) -> dict[str, Any]:
    """The fields of a config, those of its parts with a dot: {"autoencoder.latent": 64}."""
    return runs.flat(asdict(config))


def as_yaml(config: Any) -> str:
    """The config as `tootlearn train --config` takes it."""
    return str(yaml.safe_dump(json.loads(json.dumps(asdict(config))), sort_keys=False))


@torch.no_grad()
def toot_examples(model: TootModel, held_out: Clips) -> Examples:
    """What the model makes of some held-out clips.

    Returns:
        For each path ("generation", "reconstruction") and clip, named "reconstruction/0", a picture
        (H, W, 3) of the original log-mel above the drawn one, in one scale of colours, and the
        sound (N,) of the drawn one, by mel inversion and ridge integration.
    """
    from matplotlib import colormaps

    training = model.training
    model.eval()
    rows = np.unique(np.linspace(0, len(held_out) - 1, EXAMPLES).astype(int))
    clips, device = held_out[rows], model.normalizer.mean.device
    log_mel, controls = clips.log_mel.float().to(device), Condition.of(clips.controls, device)
    drawings = {}
    if model.generator:
        drawings["generation"] = model.generator.decode(
            controls, model.generator.encode(log_mel, controls)[0]
        ).log_mel
    if model.autoencoder:
        drawings["reconstruction"] = model.normalizer.inverse(
            model.autoencoder(model.normalizer(log_mel))
        )
    model.train(training)
    front_end, examples = model.front_end, {}
    for path, log_mels in drawings.items():
        waves = ridge_integration(front_end.magnitude(log_mels), front_end.stft).clamp(-1, 1).cpu()
        for i, (original, made) in enumerate(zip(log_mel.cpu(), log_mels.cpu(), strict=True)):
            both = torch.cat(
                [
                    original.flip(0),
                    original.new_full((2, original.shape[1]), -torch.inf),
                    made.flip(0),
                ]
            )
            shade = 1 + (both - float(original.max())) / RANGE_LOG_MEL
            image = colormaps[COLOURS](shade.clamp(0, 1).numpy())[..., :3]
            examples[f"{path}/{i}"] = ((255 * image).astype(np.uint8), waves[i])
    return examples
