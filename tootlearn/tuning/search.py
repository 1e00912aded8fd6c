"""Search for better settings of training: many runs of one budget, by one process or several
(`tootlearn.tuning.study`).
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from tootlearn.data.clips import Clips
from tootlearn.errors import InputError
from tootlearn.files import atomic_write
from tootlearn.models import model_file
from tootlearn.models.toot_model import TootModel
from tootlearn.training import dataset, fine_tuning
from tootlearn.training.config import TrainConfig
from tootlearn.training.loop import Diverged, Stopped
from tootlearn.training.train import train
from tootlearn.tuning import space as search_space
from tootlearn.tuning import study as studies

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution

METRICS = ("sum", "generation", "reconstruction")
# whole trials before importances are told, and before they are told without a warning
_LEAST, _ENOUGH = 4, 30


@dataclass(frozen=True)
class Search:
    """What is searched, and where.

    Args:
        config: where it starts, and all that the ranges leave as it is.
        out: the folder of the study, which its workers share.
        space: the YAML file of the ranges (`search_space.read_space`); None: those that come with
            the package.
        metric: the held-out squared error that is minimised: "generation", "reconstruction", or
            their "sum".
        storage: see `study.open_study`.
        device: see `device.to_device`.

    Raises:
        InputError: for a metric that the model does not have.
    """

    config: TrainConfig
    out: Path
    space: Path | None = None
    metric: str = "sum"
    storage: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InputError(f"metric is one of {', '.join(METRICS)}, not {self.metric!r}")
        lacks = {
            "generation": not self.config.generator,
            "reconstruction": not self.config.autoencoder,
        }
        if lacks.get(self.metric):
            raise InputError(
                f"the config has nothing that {self.metric} measures: take another metric or preset"
            )

    def open(self) -> tuple[Study, dict[str, BaseDistribution]]:
        """The study, new or as it was left, and the range of each field.

        The first trial of a new study is the config that the search starts from, if it lies within
        the ranges.

        Raises:
            InputError: as of `search_space.read_space` and `study.open_study`.
        """
        with studies.optuna_quietly():
            from optuna.distributions import distribution_to_json

            space = search_space.read_space(self.space, self.config)
            ranges = {
                name: json.loads(distribution_to_json(distribution))
                for name, distribution in space.items()
            }
        definition = {"config": asdict(self.config), "space": ranges, "metric": self.metric}
        start = {name: search_space.value_of(self.config, name) for name in space}
        inside = all(search_space.holds(space[name], value) for name, value in start.items())
        return studies.open_study(
            self.out, definition, self.storage, start if inside else None
        ), space

    def gather_clips(self, problems: list[str] | None = None) -> Clips:
        """The clips that all trials learn from and are measured on."""
        base = model_file.load_model(self.config.start_from)[0] if self.config.start_from else None
        varied = any(
            name.startswith("augmentation.")
            for name in search_space.read_space(self.space, self.config)
        )
        return dataset.gather_clips(self.config, base, problems, progress=False, keep=varied)

    def objective(self, clips: Clips) -> Callable[[Trial], float]:
        """Train with the settings of a trial; the held-out error of its last check is its value.

        A trial leaves its log and its config in ``out/trials/NUMBER``. One that at a check is worse
        than the median of the others at the same step is pruned, as is one whose error is no
        number.
        """

        def held_out_error(trial: Trial) -> float:
            from optuna import TrialPruned

            error = math.nan

            def check(row: dict[str, Any], model: TootModel) -> None:
                nonlocal error
                errors = row["held_out"]
                error = sum(errors.values()) if self.metric == "sum" else errors[self.metric]
                if not math.isfinite(error):
                    raise TrialPruned
                trial.report(error, row["step"])
                if row["step"] < self.config.steps and trial.should_prune():
                    raise TrialPruned

            folder = self.out / "trials" / f"{trial.number:04d}"
            # of an older study, whose storage was deleted
            shutil.rmtree(folder, ignore_errors=True)
            config = search_space.changed(self.config, trial.params)
            folder.mkdir(parents=True)
            atomic_write(
                folder / "config.json", (json.dumps(asdict(config), indent=1) + "\n").encode()
            )
            try:
                train(config, clips, folder, device=self.device, progress=False, on_check=check)
            except Diverged:
                raise TrialPruned from None
            finally:
                for path in folder.glob("*.safetensors"):
                    path.unlink()
            return error

        return held_out_error

    def work(self, trials: int, clips: Clips) -> None:
        """Do trials until the study has so many finished ones; see `study.work`."""
        study, space = self.open()
        studies.work(study, space, trials, self.objective(clips), self.out, self.config.seed)


def run_search(search: Search, trials: int, workers: int = 1) -> dict[str, Any]:
    """Search with so many processes, and write what was found: see `write_summary`. A search that
    was interrupted goes on.

    Args:
        search: what, and where.
        trials: how many finished trials the study is to have in the end, earlier ones included.
        workers: processes. Each has its own clips in memory, and its share of the cores.

    Raises:
        InputError: bad numbers, or what a worker meets. If workers ended early, the message says
        how far they came. Stopped: on Ctrl-C or SIGTERM, once the steps that run are
        finished.
    """
    if trials < 1 or workers < 1:
        raise InputError(f"trials and workers are 1 or more, not {trials} and {workers}")
    if search.config.start_from:
        base = model_file.load_model(search.config.start_from)[0]
        search = Search(**vars(search) | {"config": fine_tuning.adapted(search.config, base)})
    study, _ = search.open()
    if studies.finished(study) < trials:
        try:
            if workers == 1:
                problems: list[str] = []
                clips = search.gather_clips(problems)
                for problem in problems:
                    print(problem, file=sys.stderr)
                search.work(trials, clips)
            else:
                _together(search, trials, workers, study)
        except (KeyboardInterrupt, Stopped):
            done = studies.finished(study)
            raise Stopped(
                f"stopped with {done} of {trials} trials: give the same command to go on"
            ) from None
    return write_summary(study, search)


def _together(search: Search, trials: int, workers: int, study: Study) -> None:
    # a fork of a process that has used torch may hang
    context = multiprocessing.get_context("spawn")
    share = max(1, (os.cpu_count() or 1) // workers)
    processes = [
        context.Process(target=_worker, args=(search, trials, share)) for _ in range(workers)
    ]

    def stop(*_: object) -> None:  # SIGTERM reaches this process alone, Ctrl-C the workers as well
        for process in processes:
            if process.pid:
                process.terminate()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    finally:
        signal.signal(signal.SIGTERM, before)
        for process in processes:
            if process.pid:
                process.join()
    ended = [str(process.exitcode) for process in processes if process.exitcode]
    if (done := studies.finished(study)) < trials:
        raise InputError(
            f"{len(ended)} of {workers} workers ended early (status {', '.join(ended)}) and "
            f"{done} of {trials} trials "
            "are finished: give the same command to go on"
        )


def _worker(search: Search, trials: int, threads: int) -> None:
    torch.set_num_threads(threads)
    try:
        search.work(trials, search.gather_clips([]))
    except InputError as error:
        print(f"worker {os.getpid()}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, Stopped):
        raise SystemExit(130) from None


def write_summary(study: Study, search: Search) -> dict[str, Any]:
    """What was found, also written to ``out``: summary.json, pictures, and best.yaml for `tootlearn
    train --config`.

    The pictures are history.png, curves.png, slices.png and importances.png.

    Returns:
        counts of trials by their end; the "best" trial's number, value and params; the value of the
        config that the search "started" from, if it was a trial; "importances" of the fields, which
        add up to 1 (PED-ANOVA, Watanabe et al. 2023), empty for less than 4 whole trials or if all
        are equal; seconds of all trials together.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    ends = {state.name.lower(): sum(t.state == state for t in trials) for state in TrialState}
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    if not whole:
        raise InputError("no trial was completed: ask for more --trials")
    best = study.best_trial
    started = [trial.value for trial in whole if trial.user_attrs.get(studies.START)]
    seconds = sum(trial.duration.total_seconds() for trial in trials if trial.duration)
    summary = {
        "metric": search.metric,
        "steps": search.config.steps,
        "trials": {name: count for name, count in ends.items() if count},
        "best": {"number": best.number, "value": best.value, "params": best.params},
        "started": started[0] if started else None,
        "importances": _importances(study),
        "seconds": round(seconds),
    }
    config = search_space.changed(search.config, best.params)
    result = f"held-out {search.metric} {best.value:.5f} after {config.steps} steps"
    head = f"# Trial {best.number} of {len(trials)}: {result}.\n"
    text = yaml.safe_dump(json.loads(json.dumps(asdict(config))), sort_keys=False)
    atomic_write(search.out / "best.yaml", (head + text).encode())
    atomic_write(search.out / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    _draw(study, search.out, bool(summary["importances"]))
    return summary


def _importances(study: Study) -> dict[str, float]:
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    with studies.optuna_quietly():
        whole = study.get_trials(states=(TrialState.COMPLETE,))  # pruned ones have values too
        values = [trial.value for trial in whole]
        if len(values) < _LEAST or len(set(values)) == 1:
            return {}
        importances = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return {
        name: round(float(share), 4) for name, share in importances.items() if math.isfinite(share)
    }


def _draw(study: Study, out: Path, importances: bool) -> None:
    import io

    import matplotlib
    from matplotlib import pyplot

    # Optuna changes the style of all that follows
    with studies.optuna_quietly() as optuna, matplotlib.rc_context():
        from optuna.visualization import matplotlib as plots

        pictures: dict[str, Callable[[Study], Any]] = {
            "history": plots.plot_optimization_history,
            "curves": plots.plot_intermediate_values,
        }
        pictures["slices"] = plots.plot_slice
        if importances:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            pictures["importances"] = lambda study: plots.plot_param_importances(
                study, evaluator=evaluator
            )
        for name, plot in pictures.items():
            axes = plot(study)
            figure: Any = (axes.flat[0] if hasattr(axes, "flat") else axes).figure
            # a few bad trials would hide what the good ones differ in
            if name in ("history", "curves"):
                figure.axes[0].set_yscale("log")
            if name == "curves" and (legend := figure.axes[0].get_legend()):
                legend.remove()  # a line for each trial
            page = io.BytesIO()
            figure.savefig(page, format="png", bbox_inches="tight")
            pyplot.close(figure)
            atomic_write(out / f"{name}.png", page.getvalue())


def summary_text(summary: dict[str, Any]) -> str:
    """The report as lines to print."""
    ends = ", ".join(f"{count} {name}" for name, count in summary["trials"].items())
    best, started = summary["best"], summary["started"]
    lines = [
        f"trials: {ends}; {summary['seconds']} s of training",
        f"held-out {summary['metric']}: {best['value']:.5f}",
    ]
    if started is not None:
        lines[-1] += f", where the config that was started from has {started:.5f}"
    shares = summary["importances"]
    for name, value in best["params"].items():
        shown = f"{value:.3g}" if isinstance(value, float) else str(value)
        lines.append(
            f"  {name:28} {shown:>10}"
            + (f"   importance {shares[name]:.2f}" if name in shares else "")
        )
    if shares and (whole := summary["trials"]["complete"]) < _ENOUGH:
        advice = f"give more --trials, until {_ENOUGH} or more are complete"
        lines.append(f"importances of {whole} complete trials can mislead: {advice}")
    return "\n".join(lines)
