"""Principal components, against those of a singular value decomposition."""

import pytest
import torch

from tootlearn.models.pca import PCAPath, largest


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def fitted(clips: torch.Tensor, latent: int, coordinates: tuple[int, int] = (64, 32)) -> PCAPath:
    path = PCAPath(*clips.shape[1:], latent, coordinates)
    path.fit(clips, torch.nn.Identity())
    return path


def test_before_it_is_fitted_everything_decodes_to_zeros():
    path = PCAPath(6, 16, 5)
    assert not path.decode(path.encode(noise(3, 6, 16))).any()


def test_with_all_coordinates_it_is_pca():
    clips = noise(300, 6, 16) @ torch.diag(torch.arange(1.0, 17))
    path, flat = fitted(clips, 5), clips.flatten(1)
    basis = torch.linalg.svd(flat - flat.mean(0), full_matrices=False)[2][:5]
    expected = ((flat - flat.mean(0)) @ basis.T @ basis + flat.mean(0)).view_as(clips)
    z = path.encode(clips)
    torch.testing.assert_close(path.decode(z), expected, atol=5e-3, rtol=1e-3)
    torch.testing.assert_close(z.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.T.cov(correction=0), torch.eye(5), atol=1e-3, rtol=0)


def test_clips_are_standardised_first():
    clips = noise(40, 6, 16)
    path = PCAPath(6, 16, 5)
    path.fit(clips.half(), lambda x: 3 * x + 1)
    torch.testing.assert_close(path.mean, 3 * clips.half().float().mean(0) + 1)


def test_few_coordinates_are_those_in_which_clips_vary_most():
    """Clips that vary in two bands and three frames alone need two and three coordinates."""
    clips = torch.zeros(200, 6, 16)
    clips[:, 1:3, 4:7] = noise(200, 2, 3)
    path = fitted(clips, 6, (2, 3))
    torch.testing.assert_close(path.decode(path.encode(clips)), clips, atol=1e-4, rtol=0)


def test_few_clips_leave_the_last_components_empty():
    clips = noise(4, 6, 16)
    path = fitted(clips, 9)
    z = path.encode(clips)  # four clips lie in three dimensions
    torch.testing.assert_close(path.decode(z), clips, atol=1e-4, rtol=0)
    assert float(z[:, 3:].abs().max()) < 1e-3


@pytest.mark.parametrize("count", [1, 3, 5])
def test_the_largest_eigenvalues_come_first(count):
    matrix = noise(5, 5) @ noise(5, 5).T
    values, vectors = largest(matrix, count)
    assert values.shape == (count,) and vectors.shape == (5, count)
    torch.testing.assert_close(values, torch.linalg.eigvalsh(matrix).flip(0)[:count])
    torch.testing.assert_close(matrix @ vectors, vectors * values, atol=1e-4, rtol=1e-4)
