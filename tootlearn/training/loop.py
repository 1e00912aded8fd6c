"""The training loop: one for every network of the package.

    for each step: load the batch -> loss of each part -> gradients -> clip -> AdamW

What differs between networks is what they learn from (a loader), what they are (a model) and what
is minimised (an objective). Everything else is here: schedule, precision, processes, log,
checkpoints, resuming, signals and values that are not finite.

Every random choice of step s is a function of (seed, s). So the state of a run is its weights, the
optimiser's moments and the number of steps, and a run that was interrupted goes on to the same
bits. It is also what lets several processes share a step: each knows which examples of the batch
are its own, and which of the random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tootlearn import rng
from tootlearn.errors import InputError
from tootlearn.training import checkpoint
from tootlearn.training.compute import all_reduce_sum, any_rank, broadcast
from tootlearn.training.config import Compute
from tootlearn.training.run_log import BEST, LAST, RunLog, Score
from tootlearn.training.schedule import learning_rate

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricOptimizer as FabricOptimizer


class Stopped(Exception):
    """Training was interrupted; the checkpoint is written."""


class Diverged(InputError):
    """A loss or a gradient is not finite. The checkpoint is sound; the model in memory may not be:
    its running statistics have seen that step.
    """


@dataclass(frozen=True)
class Optimisation:
    """AdamW and its schedule.

    Args:
        steps: of the optimiser.
        learning_rate: the highest, see `schedule.learning_rate`.
        warmup: steps of the linear start.
        weight_decay: of AdamW (Loshchilov and Hutter 2019).
        betas: decay rates of AdamW's moving averages.
        clip: the largest norm of the gradient of each network; longer ones are scaled down to it.
        check_every: steps between evaluations on the held-out data, each with a checkpoint.
        seed: of dropout.
    """

    steps: int
    learning_rate: float
    warmup: int = 100
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    check_every: int = 500
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """What one process computes at a time: some examples of the batch of a step.

    Args:
        batch: the examples, as the objective takes them.
        share: how much of the whole batch they are, 0 to 1.
        place: of the first of them in the whole batch.
    """

    batch: Any
    share: float = 1.0
    place: int = 0


class Trainable(Protocol):
    """An `nn.Module` that computes the loss of a model, which is one of its submodules."""

    @property
    def model(self) -> Any:
        """What is trained and kept in the checkpoint."""

    def networks(self) -> Sequence[nn.Module]:
        """The parts of the model whose gradients are clipped, and which are compiled, on their
        own.
        """

    def __call__(self, batch: Any, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a part of a batch, a scalar, and its terms without weights, by name."""


Loader = Callable[[int], Sequence[Part]]  # gets the number of a step, the first of which is 0
OnCheck = Callable[[dict[str, Any], Any], None]  # gets the row of the log and the model


def fit(
    objective: Any,
    load: Loader,
    evaluate: Callable[[], dict[str, float]],
    plan: Optimisation,
    fabric: Fabric,
    *,
    compute: Compute | None = None,
    out: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_check: OnCheck | None = None,
    score: Score | None = None,
    progress: bool = True,
    name: str = "train",
) -> None:
    """Train ``objective.model`` in place: to the weights of the last step, or to the best ones if
    ``compute.best``.

    Args:
        objective: a `Trainable`, on the fabric's device.
        load: the parts of the batch of a step that this process computes.
        evaluate: errors on the held-out data, by name, the same in all processes.
        plan: optimiser and schedule.
        fabric: of `Compute.launch`.
        compute: compilation, and which checkpoints are kept; None for the defaults.
        out: the folder of the run, for `log.jsonl` and `checkpoint.safetensors`; None keeps
            nothing.
        identity: what a run must have in common with the one that it resumes; anything JSON can
            hold.
        resume: go on from the checkpoint in ``out``.
        on_check: called by the first process after each evaluation, once log and checkpoint are
            written. What it raises ends the run.
        score: of the held-out errors, the lower the better, by which the best checkpoint is chosen;
            None: their sum.
        progress: show a bar on stderr.
        name: of the bar.

    Raises:
        InputError: if the checkpoint is of another run, or the disk is full.
        Diverged: if a loss or gradient is not finite. The checkpoint stays as it is.
        Stopped: on Ctrl-C or SIGTERM, once the step is finished and the checkpoint written.
    """
    compute, known, model = compute or Compute(), dict(identity or {}), objective.model
    optimizer = torch.optim.AdamW(
        model.parameters(), plan.learning_rate, betas=plan.betas, weight_decay=plan.weight_decay
    )
    step = checkpoint.restore(out / LAST, known, model, optimizer) if out and resume else 0
    log = RunLog(out, known, compute, fabric, step if resume else None, score) if out else None
    broadcast(fabric, model)
    prepared, stepper = prepare(fabric, objective, optimizer, compute.compile)
    hidden = None if progress and fabric.is_global_zero else True
    bar = tqdm(total=plan.steps, initial=step, desc=name, leave=bool(out), disable=hidden)
    with bar, torch.random.fork_rng(devices=[]), checkpoint.interruptible() as signals:
        while step < plan.steps and not any_rank(fabric, bool(signals)):
            rate = learning_rate(plan.learning_rate, step, plan.steps, plan.warmup)
            for group in optimizer.param_groups:
                group["lr"] = rate
            terms = take_step(fabric, prepared, stepper, load(step), step, plan.clip, plan.seed)
            step += 1
            bar.update()
            if log and (step % plan.check_every == 0 or step == plan.steps):
                broadcast(fabric, model)
                held_out = evaluate()
                means = all_reduce_sum(fabric, {name: float(t) for name, t in terms.items()})
                row: dict[str, Any] = {
                    "step": step,
                    **{name: round(t, 6) for name, t in means.items()},
                }
                row["held_out"] = held_out
                log.enter(row, checkpoint.collect_tensors(model, optimizer))
                bar.set_postfix({name: f"{value:.4f}" for name, value in held_out.items()})
                if on_check and fabric.is_global_zero:
                    on_check(row, model)
            elif log and compute.keep_every and step % compute.keep_every == 0:
                log.keep(step, checkpoint.collect_tensors(model, optimizer))
    if step < plan.steps:
        if not log:
            raise KeyboardInterrupt
        log.keep(step, checkpoint.collect_tensors(model, optimizer))
        raise Stopped(f"stopped after step {step} of {plan.steps}: go on with --resume --out {out}")
    fabric.barrier()
    if out and compute.best and (out / BEST).exists():
        checkpoint.restore(out / BEST, known, model, optimizer)


def prepare(
    fabric: Fabric, objective: Any, optimizer: torch.optim.Optimizer, compiled: bool = False
) -> tuple[Any, FabricOptimizer]:
    """Objective and optimiser as Fabric runs them, on its device; the networks compiled if asked
    for.
    """
    if compiled:
        for network in objective.networks():
            for part in network.children():
                for module in part if isinstance(part, nn.ModuleList) else [part]:
                    if any(p.requires_grad for p in module.parameters()):
                        module.compile()
    prepared: tuple[Any, FabricOptimizer] = fabric.setup(objective, optimizer)
    return prepared


def take_step(
    fabric: Fabric,
    objective: Any,
    optimizer: FabricOptimizer,
    parts: Sequence[Part],
    step: int,
    clip: float,
    seed: int = 0,
) -> dict[str, Tensor]:
    """One step of the optimiser.

    Args:
        fabric, objective, optimizer: of `prepare`.
        parts: what this process computes of the batch.
        step: how many there were before.
        clip, seed: see `Optimisation`.

    Returns:
        The terms of the loss: what the parts contribute to the means over the batch.

    Raises:
        Diverged: if a term is not finite, or a gradient is not (in 16 bits the scaler skips such
            steps instead).
    """
    terms: dict[str, Tensor] = {}
    optimizer.zero_grad(set_to_none=True)
    for part in parts:
        dropout = rng.words(seed, rng.at_step(rng.Stream.DROPOUT, step), 1, start=part.place)
        torch.manual_seed(int(dropout[0]))
        with fabric.no_backward_sync(objective, enabled=part is not parts[-1]):
            loss, part_terms = objective(part.batch, step)
            fabric.backward(
                loss * (part.share * fabric.world_size)
            )  # over processes a mean is taken
        for name, term in part_terms.items():
            terms[name] = terms.get(name, 0) + part.share * term.detach()
    precision: Any = fabric.strategy.precision
    precision.unscale_gradients(optimizer.optimizer)
    norms = {f"gradient of {type(n).__name__}": _clip(n, clip) for n in objective.networks()}
    if getattr(precision, "scaler", None):  # it skips steps whose gradients overflow 16 bits
        norms = {}
    values = terms | norms
    finite = torch.stack([v.detach().float() for v in values.values()]).isfinite()
    broken = [] if finite.all() else [n for n, ok in zip(values, finite, strict=True) if not ok]
    if any_rank(fabric, bool(broken)):
        where = f" ({', '.join(broken)})" if broken else ""
        raise Diverged(
            f"training diverged at step {step + 1}{where}: a loss or gradient is not finite. The "
            "last checkpoint is as "
            "it was; try a lower --learning-rate, a smaller --clip, or look for damaged recordings"
        )
    optimizer.step()
    return terms


def _clip(network: nn.Module, largest: float) -> Tensor:
    """Scale the gradient of a network down to this norm if it is longer; return its own norm."""
    return torch.nn.utils.clip_grad_norm_(network.parameters(), largest)


def check_run(out: Path, resume: bool, result: str = "model.safetensors") -> None:
    """See that ``resume`` fits to whether there is a run in ``out``, which ends in the file
    ``result``.

    Raises:
        InputError: if there is none to resume, or a run that would be overwritten.
    """
    if resume and not (out / LAST).exists():
        raise InputError(
            f"there is no checkpoint {out / LAST} to go on from: train without --resume first"
        )
    if not resume and any((out / name).exists() for name in (LAST, "log.jsonl", result)):
        raise InputError(
            f"{out} holds a run already: give --resume to go on with it, or another --out"
        )
