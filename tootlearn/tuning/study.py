"""A study: trials that several workers share, none of which is lost or done twice when a worker is
killed.

A worker takes the next trial that Optuna proposes, does it, and takes the next, until enough are
finished. What is known stands in the study's storage alone. Two locks on files of the study's
folder make that exact: under one, a worker counts what is done and takes its trial; the other it
holds as long as it lives, and the system lets go of it however it ends. So a trial that runs, but
whose worker's lock is free, was left behind: it fails, and its settings come once more.
"""

from __future__ import annotations

import functools
import json
import math
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tootlearn import rng
from tootlearn.errors import InputError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    Space = Mapping[str, BaseDistribution]

RANDOM_TRIALS = 10  # before proposals are made from what was found
_WAIT = 0.5  # s, between looks at trials of others
START = "start"
_WORKER, _RETRY, _REASON = "worker", "retry_of", "reason"  # what stands beside a trial


@contextmanager
def optuna_quietly() -> Iterator[Any]:
    """Optuna, that warns of nothing: what it calls experimental here is tested here."""
    try:
        import optuna
    except ImportError as error:
        raise InputError("a search needs Optuna: pip install 'tootlearn[train]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield optuna


def open_study(
    out: Path,
    definition: Mapping[str, Any],
    storage: str | None = None,
    first: Mapping[str, Any] | None = None,
) -> Study:
    """The study in ``out``, new or as it was left.

    Args:
        out: its folder, which all its workers share; made if need be. Its name is the study's.
        definition: what is searched, as JSON can hold it; the same for all workers.
        storage: a URL as SQLAlchemy takes it, or the path of a journal file (.journal); None:
            ``out/study.db``, SQLite.
        first: the parameters of the first trial of a new study, which is marked by `START`.

    Raises:
        InputError: if Optuna is missing, the storage cannot be opened, or the study has another
            definition.
    """
    with optuna_quietly() as optuna:
        from filelock import FileLock

        (out / "workers").mkdir(parents=True, exist_ok=True)
        # two workers that make the tables at the same time would both fail
        with FileLock(out / "next.lock"):
            study: Study = optuna.create_study(
                study_name=out.name,
                storage=_storage(optuna, storage or f"sqlite:///{out / 'study.db'}"),
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
                load_if_exists=True,
            )
            ours, theirs = json.loads(json.dumps(definition)), study.user_attrs.get("told")
            if theirs is None:
                if first:
                    study.enqueue_trial(dict(first), user_attrs={START: True})
                study.set_user_attr("told", ours)
            elif theirs != ours:
                names = sorted(
                    name
                    for name in theirs.keys() | ours.keys()
                    if theirs.get(name) != ours.get(name)
                )
                raise InputError(
                    f"{out} holds a study of another {', '.join(names)}: give its own, or "
                    "another --out"
                )
    return study


def _storage(optuna: Any, where: str) -> Any:
    from filelock import FileLock

    if "://" not in where:
        if not where.endswith(".journal"):
            raise InputError(
                f"the storage {where} is neither a URL such as sqlite:///study.db nor a file "
                ".journal"
            )
        lock = FileLock(f"{where}.lock")  # Optuna's own outlives a worker that is killed by 30 s
        return optuna.storages.JournalStorage(
            optuna.storages.journal.JournalFileBackend(where, lock)
        )
    patience = {"connect_args": {"timeout": 60}} if where.startswith("sqlite") else {}  # s
    try:
        return optuna.storages.RDBStorage(where, engine_kwargs=patience)
    except Exception as error:  # SQLAlchemy's, a driver's that is missing or has no server
        raise InputError(
            f"the storage {where} cannot be used: {str(error).splitlines()[0]}"
        ) from error


def work(
    study: Study,
    space: Space,
    trials: int,
    objective: Callable[[Trial], float],
    out: Path,
    seed: int = 0,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Take one trial after another until so many of the study are finished: completed or pruned.

    Args:
        study: of `open_study`.
        space: the range of each parameter.
        trials: how many finished ones the study is to have, those of other workers and of earlier
            times included.
        objective: gives the value of a trial, the less the better, or raises `optuna.TrialPruned`.
            An `InputError`, or memory that is too small, fails the trial; all else also ends the
            worker, and the settings come once more.
        out: the study's folder.
        seed: of proposals. One worker alone proposes the same again, also if it was interrupted
            between two trials.
        tell: gets a line for each trial; None prints it at once, also into a pipe.

    Raises:
        InputError: if as many trials failed as were asked for.
    """
    from filelock import FileLock

    tell = tell or functools.partial(print, flush=True)
    me = uuid.uuid4().hex
    alive = out / "workers" / f"{me}.lock"
    with optuna_quietly() as optuna, FileLock(alive):
        while trial := _next(optuna, study, space, trials, out, seed, me, tell):
            state, value = optuna.trial.TrialState, None
            end = state.FAIL
            try:
                value = float(objective(trial))
                end = state.COMPLETE if math.isfinite(value) else state.PRUNED
            except optuna.TrialPruned:
                end = state.PRUNED
            except (InputError, torch.OutOfMemoryError) as error:
                trial.set_user_attr(_REASON, str(error))
            except BaseException:
                _fail(study, study.trials[trial.number])
                raise
            study.tell(trial, value if end == state.COMPLETE else None, end)
            tell(_line(study, study.trials[trial.number], trials))
    alive.unlink(missing_ok=True)


def _next(
    optuna: Any,
    study: Study,
    space: Space,
    trials: int,
    out: Path,
    seed: int,
    me: str,
    tell: Callable[[str], None],
) -> Trial | None:
    """A trial to do, now or once it is clear that others do not finish theirs; None if all is
    done.
    """
    from filelock import FileLock

    state, waited = optuna.trial.TrialState, False
    while True:
        with FileLock(out / "next.lock"):
            for trial in study.get_trials(deepcopy=False, states=(state.RUNNING,)):
                if _left_behind(trial, out):
                    tell(
                        f"trial {trial.number} was left behind by a worker that is gone: its "
                        "settings come once more"
                    )
                    _fail(study, trial)
            running = len(study.get_trials(deepcopy=False, states=(state.RUNNING,)))
            failed = [t for t in study.get_trials(deepcopy=False) if _REASON in t.user_attrs]
            if finished(study) >= trials:
                return None
            if len(failed) >= max(trials, 3):
                raise InputError(
                    f"{len(failed)} trials failed, the last since {failed[-1].user_attrs[_REASON]}"
                )
            if finished(study) + running < trials:
                sampler_seed = rng.child(seed, len(study.trials)) % 2**32
                study.sampler = optuna.samplers.TPESampler(
                    n_startup_trials=RANDOM_TRIALS, constant_liar=True, seed=sampler_seed
                )
                taken: Trial = study.ask(dict(space))
                taken.set_user_attr(_WORKER, me)
                return taken
        if not waited:
            tell(
                f"{running} trials of other workers still run: waiting, in case one is left behind"
            )
        waited = True
        time.sleep(_WAIT)


def _left_behind(trial: FrozenTrial, out: Path) -> bool:
    """Whether a running trial has no worker any more. One whose lock is not here works elsewhere,
    and is left alone.
    """
    from filelock import FileLock, Timeout

    if _WORKER not in trial.user_attrs:
        # killed between taking a trial and saying so, which is done under the lock that we hold
        return True
    lock = out / "workers" / f"{trial.user_attrs[_WORKER]}.lock"
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return True
    except Timeout:
        return False


def _fail(study: Study, trial: FrozenTrial) -> None:
    """Mark a trial as failed; its settings come once more, but not a third time."""
    from optuna.trial import TrialState

    study.tell(trial.number, state=TrialState.FAIL)
    if trial.params and _RETRY not in trial.user_attrs:
        kept = {START: True} if START in trial.user_attrs else {}
        study.enqueue_trial(trial.params, user_attrs={_RETRY: trial.number, **kept})


def finished(study: Study) -> int:
    """How many trials are completed or pruned."""
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _line(study: Study, trial: FrozenTrial, trials: int) -> str:
    result = (
        f"{trial.value:.5f}"
        if trial.value is not None
        else trial.user_attrs.get(_REASON, "no value")
    )
    state, done = trial.state.name.lower(), finished(study)
    return f"trial {trial.number} {state}: {result}; {done} of {trials} are done"
