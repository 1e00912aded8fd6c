"""Reconstruction: PCA and nearest clip against numpy and by construction, the table by hand."""

import numpy as np
import pytest
import torch

import tootlearn
from tootlearn.data.clips import synthesise
from tootlearn.data.recipes import KINDS
from tootlearn.dsp.config import FrontEndConfig
from tootlearn.dsp.normalization import Normalizer
from tootlearn.errors import InputError
from tootlearn.evaluation import reconstruction
from tootlearn.generation.toot_generator import TootGenerator
from tootlearn.models.config import GeneratorConfig
from tootlearn.models.toot_model import TootModel


@pytest.fixture(scope="module")
def g() -> TootGenerator:
    return tootlearn.load()


@pytest.fixture(scope="module")
def clips(g):
    return synthesise(g.kinds, 96, 5, g.model.front_end, progress=False)


def test_pca_is_the_projection_that_numpy_finds():
    random = np.random.default_rng(0)
    spectrum = 0.7 ** np.arange(24)  # components of clearly different size, as those of sounds
    generated = (
        random.normal(size=(60, 24)) * spectrum @ np.linalg.qr(random.normal(size=(24, 24)))[0] + 3
    )
    train, test = generated[:50], generated[50:]
    mean = train.mean(0)
    basis = np.linalg.svd(train - mean, full_matrices=False)[2][:5]
    expected = (test - mean) @ basis.T @ basis + mean
    torch.manual_seed(0)
    before = torch.get_rng_state()
    result = reconstruction.pca(
        *(torch.from_numpy(x).float().view(-1, 4, 6) for x in (train, test)), 5
    )
    assert result.shape == (10, 4, 6)
    np.testing.assert_allclose(result.reshape(10, 24).numpy(), expected, atol=1e-4)
    assert torch.equal(torch.get_rng_state(), before)


def test_pca_of_few_clips_is_exact_on_them():
    few = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(reconstruction.pca(few, few, 64), few, atol=1e-4, rtol=0)


def test_nearest_finds_an_exact_copy_and_looks_at_training_clips_only():
    train = torch.randn(50, 4, 6, generator=torch.Generator().manual_seed(2))
    test = torch.stack([train[17], train[30] + 0.01, torch.zeros(4, 6)])
    result = reconstruction.nearest_clips(train, test)
    assert torch.equal(result[0], train[17]) and torch.equal(result[1], train[30])
    assert torch.equal(result[2], train[train.flatten(1).norm(dim=1).argmin()])


def test_reconstruction_table_has_its_rows_and_their_order(g, clips):
    table = reconstruction.reconstruction_table(g, clips)
    names = ["autoencoder, 64 numbers", "its principal components alone", "PCA, 64 numbers"]
    assert list(table) == [*names, "nearest training clip", "mean"]
    held_out = len(clips.split()[1])
    assert 0 < held_out < 96 and all(row["count"] == held_out for row in table.values())
    errors = {name: row["error"] for name, row in table.items()}
    assert errors["autoencoder, 64 numbers"] < 0.5 * errors["mean"]
    assert errors["PCA, 64 numbers"] < errors["mean"]
    assert all(np.isfinite(list(row.values())).all() for row in table.values())


def test_reconstruction_table_by_hand(g, clips, monkeypatch):
    """What stands for PCA is off by one standard deviation everywhere: an error of 1, and that in
    dB.
    """
    monkeypatch.setattr(reconstruction, "pca", lambda train, test, size: test + 1)
    monkeypatch.setattr(reconstruction, "nearest_clips", lambda train, test: test)
    table = reconstruction.reconstruction_table(g, clips)
    decibels = 20 / np.log(10) * float(g.model.normalizer.std.square().mean().sqrt())
    assert table["PCA, 64 numbers"]["error"] == pytest.approx(1, rel=1e-3)
    assert table["PCA, 64 numbers"]["lsd"] == pytest.approx(decibels, rel=1e-3)
    assert table["nearest training clip"]["error"] == table["nearest training clip"]["lsd"] == 0


def test_no_autoencoder_is_said_before_anything_is_computed(clips):
    normalizer = Normalizer(torch.zeros(128, 1), torch.ones(128, 1))
    config = GeneratorConfig(2, 8, 1, encoder_widths=(8,))
    model = TootModel(FrontEndConfig(), normalizer, [KINDS["trumpet"]], config, None)
    with pytest.raises(InputError, match="no autoencoder"):
        reconstruction.reconstruction_table(TootGenerator(model, {}), clips)
