"""A gradient balancer: weights as shares of the gradient.

After Défossez et al., High fidelity neural audio compression, 2022.

Losses have units of their own, and a weight says little of how much a loss pulls: its gradient may
be a thousand times another's, or become so in the course of training. The balancer measures what
reaches a drawing. There the gradient of each term is a field of the drawing's shape; scaling the
term scales the field and with it all that reaches the network behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

DECAY = 0.99  # of the moving averages, a step


class Balancer(nn.Module):
    """Weights that give each term its share of the gradient at a drawing.

    A term's share is its weight over the sum of the weights. Norms are averaged over steps, so that
    a step on which a loss is large still pulls more. The norm of the drawing's first term, whose
    name is the drawing's, is what the others are measured by: its own weight stays as it is. So do
    those of terms without a gradient at a drawing.

    Args:
        names: of all terms there may be; those of a drawing begin with its name.

    The averages are buffers: a checkpoint that holds them goes on exactly.
    """

    norm: Tensor
    seen: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        # sums that decay; over `seen` they are averages
        self.register_buffer("norm", torch.zeros(len(self.names)))
        self.register_buffer("seen", torch.zeros(len(self.names)))

    def forward(
        self,
        terms: Mapping[str, Tensor],
        drawings: Mapping[str, Tensor],
        weights: Mapping[str, float],
    ) -> dict[str, Tensor]:
        """What to multiply the terms by, for those that are balanced; to be called once a step.

        Args:
            terms: scalars with a gradient. Each drawing has a term of its own name.
            drawings: what the networks drew, on which the terms depend.
            weights: of the terms, 0 or more.

        Returns:
            Scalars without a gradient.
        """
        balanced: dict[str, Tensor] = {}
        for drawing, drawn in drawings.items():
            norms = {}
            for name in terms:
                if name == drawing or name.startswith(drawing + "_"):
                    (found,) = torch.autograd.grad(
                        terms[name], drawn, retain_graph=True, allow_unused=True
                    )
                    if found is not None:
                        norms[name] = self._averaged(name, found.norm())
            for name, norm in norms.items():
                # what has no gradient needs no weight
                scale = torch.where(norm > 0, norms[drawing] / norm, 0.0)
                balanced[name] = weights[name] * scale
        return balanced

    def _averaged(self, name: str, norm: Tensor) -> Tensor:
        """The moving average of a norm, this one included."""
        i = self.names.index(name)
        self.norm[i] = DECAY * self.norm[i] + norm
        self.seen[i] = DECAY * self.seen[i] + 1
        return self.norm[i] / self.seen[i]
