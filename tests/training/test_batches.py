"""Batches and how they are shared out: the parts of a step are the step."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.uneven import CONFIG, in_double
from tootlearn import losses
from tootlearn.errors import InputError
from tootlearn.rng import Stream
from tootlearn.training import batches
from tootlearn.training.batches import Batch, batch_rows, shares
from tootlearn.training.objective import Objective, sample
from tootlearn.training.train import build


@given(batch=st.integers(1, 70), processes=st.integers(1, 5), accumulate=st.integers(1, 5))
def test_every_clip_of_a_batch_is_in_one_part_and_parts_are_equal_but_for_a_clip(
    batch, processes, accumulate
):
    if batch < processes * accumulate:
        with pytest.raises(InputError, match=f"--batch {processes * accumulate} or more"):
            shares(batch, processes, accumulate)
        return
    own = shares(batch, processes, accumulate)
    assert len(own) == processes and all(len(spans) == accumulate for spans in own)
    places = [place for spans in own for first, end in spans for place in range(first, end)]
    assert places == list(range(batch))
    sizes = [end - first for spans in own for first, end in spans]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("parts", [2, 3, 11])
def test_the_gradients_of_the_parts_of_a_batch_add_up_to_that_of_the_batch(uneven, parts):
    learn, _ = uneven.split()
    model = build(CONFIG, learn).double()
    objective = Objective(model, CONFIG).double()
    whole = in_double(Batch.of(learn, CONFIG.front_end, torch.device("cpu")))[
        batch_rows(CONFIG.seed, CONFIG.batch, 3, len(learn))
    ]
    known = [
        float((whole[torch.arange(*span)].bend_weight > 0).float().mean())
        for (span,) in shares(11, parts, 1)
    ]
    assert len(set(known)) > 1 or parts == 1  # or else the test shows less than it says

    def gradient(spans):
        model.zero_grad()
        for first, end in spans:
            loss, _ = objective(whole.part(first, end), 3)
            (loss * (end - first) / CONFIG.batch).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    at_once = gradient([(0, CONFIG.batch)])
    in_parts = gradient([span for (span,) in shares(CONFIG.batch, parts, 1)])
    assert at_once.norm() > 0
    torch.testing.assert_close(
        in_parts, at_once, rtol=1e-10, atol=1e-10 * float(at_once.abs().max())
    )


def test_a_part_gets_the_noise_of_its_place():
    mean, log_scale = torch.zeros(7, 3), torch.zeros(7, 3)
    whole = sample(mean, log_scale, 5, Stream.RESIDUAL_NOISE, 4)
    part = sample(mean[2:5], log_scale[2:5], 5, Stream.RESIDUAL_NOISE, 4, first=2)
    assert torch.equal(part, whole[2:5]) and not torch.equal(part, whole[:3])


def test_a_part_that_is_the_whole_is_the_whole_to_the_bit(uneven):
    batch = Batch.of(uneven, CONFIG.front_end, torch.device("cpu"))[torch.arange(9)]
    part = batch.part(0, 9)
    assert torch.equal(part.bend_weight, batch.bend_weight) and torch.equal(
        part.log_mel, batch.log_mel
    )
    assert pytest.approx(float(np.unique(part.bend_weight)[1])) == batches.UNKNOWN_BEND


# Which clips


@given(count=st.integers(1, 40), batch=st.integers(1, 50), seed=st.integers(0, 9))
def test_every_clip_comes_once_in_each_epoch(count, batch, seed):
    steps = -(-3 * count // batch)
    rows = torch.cat([batch_rows(seed, batch, step, count) for step in range(steps)])[: 3 * count]
    assert (rows.view(3, count).sort(1).values == torch.arange(count)).all()


def test_batches_are_shuffled_anew_in_each_epoch_and_a_function_of_seed_and_step_alone():
    first, second = batch_rows(0, 32, 0, 32), batch_rows(0, 32, 1, 32)
    assert not torch.equal(first, second) and not torch.equal(first, torch.arange(32))
    torch.manual_seed(3)
    assert torch.equal(batch_rows(0, 32, 1, 32), second)
    assert not torch.equal(batch_rows(1, 32, 1, 32), second)


def test_a_batch_has_the_weights_and_controls_of_its_clips(uneven):
    everything = Batch.of(uneven, CONFIG.front_end, torch.device("cpu"))
    batch = everything[torch.tensor([7, 3])]
    assert batch.log_mel.dtype == torch.float32 and torch.equal(
        batch.log_mel[0], uneven.log_mel[7].float()
    )
    assert batch.controls.kind.tolist() == uneven.controls.kind[[7, 3]].tolist()
    np.testing.assert_allclose(
        batch.controls.octave.exp2(), uneven.controls.pitch[[7, 3]], rtol=1e-5
    )
    duration = torch.tensor(uneven.controls.duration, dtype=torch.float32)
    assert torch.equal(batch.weight, losses.frame_weights(duration, 88, 512, 22050)[[7, 3]])
