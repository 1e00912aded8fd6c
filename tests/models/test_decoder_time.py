"""What of a drawing changes over time: trills, and the bend of f0."""

from dataclasses import replace

import numpy as np
import torch

from tootlearn import losses
from tootlearn.controls import Controls, Kind
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.models.decoder import Condition, ConditionalDecoder

SMALL = FrontEndConfig(hop=512, mels=24)  # 88 frames
HORN = Kind("horn", (100, 2000), (0.1, 2.0), (0.0, 2.0))
RESIDUAL = torch.zeros(1, 3)


def decoder(*kinds: Kind) -> ConditionalDecoder:
    """Its weights depend on the number of kinds, not on what they are."""
    torch.manual_seed(0)
    return ConditionalDecoder(SMALL, 88, kinds, 3, width=16, blocks=2).eval()


def control(kind: int = 0) -> Condition:
    return Condition.of(
        Controls(np.array([kind]), *(np.array([v]) for v in (440.0, 0.5, 0.5, -12.0)))
    )


def drawn_bend(network: ConditionalDecoder, condition: Condition) -> torch.Tensor:
    """f0 of the first note in octaves above the pitch, for every four frames: (B, T / 4)."""
    bend = network(condition, RESIDUAL).notes[:, :, 0] - condition.octave[:, None]
    return bend.unflatten(1, (-1, 2)).mean(2)


@torch.no_grad()
def test_a_kind_with_a_trill_draws_otherwise_than_the_same_kind_without():
    still, pea = decoder(HORN), decoder(replace(HORN, trill=30.0))
    for ours, theirs in zip(still.state_dict().values(), pea.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)  # the rate comes from the kind, not from the weights
    change = (
        (still(control(), RESIDUAL).log_mel - pea(control(), RESIDUAL).log_mel).abs().amax(1)[0]
    )
    assert change[8:].max() > 1e-2
    both = decoder(HORN, replace(HORN, trill=30.0))
    both.kind.weight[1] = both.kind.weight[0]
    apart = both(control(0), RESIDUAL).log_mel - both(control(1), RESIDUAL).log_mel
    assert apart.abs().max() > 1e-2  # each of a model's kinds has its own


@torch.no_grad()
def test_the_network_hears_where_in_the_trill_each_frame_is():
    seen = []
    pea = decoder(HORN, replace(HORN, trill=30.0))
    pea.enter.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    pea(control(1), RESIDUAL), pea(control(0), RESIDUAL)
    time = ((np.arange(88) * 512 - 512) / 22050).clip(0)
    for given, rate in zip(seen, (30.0, 0.0), strict=True):
        constant = SMALL.mels + 128
        # (22, T)
        features = (
            given[0, : given.shape[1] - constant].unflatten(0, (-1, 4)).transpose(1, 2).flatten(1)
        )
        np.testing.assert_allclose(features[-2], np.sin(2 * np.pi * rate * time), atol=1e-4)
        np.testing.assert_allclose(features[-1], np.cos(2 * np.pi * rate * time), atol=1e-4)


def test_bend_error_pulls_the_notes_towards_the_f0_that_is_known():
    network, condition = decoder(HORN), control()
    target, known = torch.linspace(-0.2, 0.4, 22)[None], (torch.arange(22) < 15)[None].float()
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    start = float(losses.bend_error(drawn_bend(network, condition), target, known).detach())
    for _ in range(80):
        optimizer.zero_grad()
        losses.bend_error(drawn_bend(network, condition), target, known).backward()
        optimizer.step()
    with torch.no_grad():
        found = drawn_bend(network, condition)
    assert float(losses.bend_error(found, target, known)) < 0.05 * start
    assert (found - target)[:, :15].abs().max() < 0.1
    assert found.isfinite().all()
