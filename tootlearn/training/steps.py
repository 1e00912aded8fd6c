"""One step of training, on one device or several: gradients of the parts of a batch, added up, and
what follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tootlearn import rng
from tootlearn.models.toot_model import TootModel
from tootlearn.training.batches import Batch
from tootlearn.training.compute import RunConfig
from tootlearn.training.config import TrainConfig
from tootlearn.training.objective import Criterion, clip_gradients

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricOptimizer as FabricOptimizer


class Objective(nn.Module):
    """Model and losses as one module, which is what has to be run for several processes to share
    its gradient.

    Args:
        model: what is trained.
        criterion: its losses.
        config: of the run.
    """

    def __init__(self, model: TootModel, criterion: Criterion, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.criterion, self.config = model, criterion, config

    def forward(self, batch: Batch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a step, a scalar, and its terms by name."""
        found: tuple[Tensor, dict[str, Tensor]] = self.criterion(self.model, batch, step)
        return found


def set_up(
    fabric: Fabric, objective: Objective, optimizer: torch.optim.Optimizer, how: RunConfig
) -> tuple[Any, FabricOptimizer]:
    """Objective and optimiser as Fabric runs them, on its device; the networks compiled if asked
    for.
    """
    if how.compile:
        for part in (objective.model.generator, objective.model.autoencoder):
            for network in part.children() if part else ():
                network.compile()
    prepared: tuple[Any, FabricOptimizer] = fabric.setup(objective, optimizer)
    return prepared


def take_step(
    fabric: Fabric,
    objective: Any,
    optimizer: FabricOptimizer,
    batch: Batch,
    own: list[tuple[int, int]],
    step: int,
) -> dict[str, Tensor]:
    """One step of the optimiser.

    Args:
        fabric, objective, optimizer: of :func:`set_up`.
        batch: of the whole step.
        own: what of it this process computes, as `batches.shares` gives it.
        step: how many there were before.

    Returns:
        The terms of the loss: what the own clips contribute to the means over the batch.
    """
    config: TrainConfig = objective.config
    terms: dict[str, Tensor] = {}
    optimizer.zero_grad(set_to_none=True)
    for first, end in own:
        share = (end - first) / config.batch
        dropout = rng.derive(config.seed, rng.Stream.DROPOUT)
        torch.manual_seed(rng.child(dropout, step * config.batch + first))
        with fabric.no_backward_sync(objective, enabled=(first, end) != own[-1]):
            loss, found = objective(batch.part(first, end), step)
            fabric.backward(loss * (share * fabric.world_size))  # over processes a mean is taken
        terms = {name: terms.get(name, 0) + share * term.detach() for name, term in found.items()}
    fabric.strategy.precision.unscale_gradients(optimizer.optimizer)
    clip_gradients(objective.model, config.clip)
    optimizer.step()
    return terms
