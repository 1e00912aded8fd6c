"""Distances between sets: by hand first, then other implementations, then what any distance of sets
must satisfy.
"""

import math

import numpy as np
import pytest
import torch

from tootlearn.evaluation import set_metrics


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Kernel distance


def test_kernel_distance_by_hand():
    """Sets {0, 2} and {0, 1}: the bandwidth is 1, the kernel exp(-d^2 / 2)."""
    within = math.exp(-2) + math.exp(-1 / 2)
    between = (1 + math.exp(-1 / 2) + math.exp(-2) + math.exp(-1 / 2)) / 4
    a, b = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    assert set_metrics.kernel_distance(a, b) == pytest.approx(100 * (within - 2 * between))


def test_kernel_distance_of_one_distribution_is_around_zero_whatever_the_sizes():
    draws = [
        set_metrics.kernel_distance(noise(12, 3, seed=i), noise(30, 3, seed=1000 + i))
        for i in range(300)
    ]
    error = np.std(draws) / math.sqrt(len(draws))
    # the biased estimate would be about 8 too high
    assert abs(np.mean(draws)) < 3 * error and error < 0.2
    assert min(draws) < 0 < max(draws)


def test_kernel_distance_grows_with_a_shift_and_with_a_change_of_spread():
    a, b = noise(200, 4), noise(200, 4, seed=1)
    shifted = [set_metrics.kernel_distance(a + shift, b) for shift in (0, 0.25, 0.5, 1, 2, 4)]
    wider = [set_metrics.kernel_distance(a * factor, b) for factor in (1, 1.5, 2, 3)]
    narrower = [set_metrics.kernel_distance(a * factor, b) for factor in (1, 0.6, 0.3)]
    for grows in (shifted, wider, narrower):
        assert all(first + 1 < then for first, then in zip(grows, grows[1:], strict=False))
    assert set_metrics.kernel_distance(a + 1e3, b) < 200


def test_kernel_distance_knows_no_order_scale_place_or_rotation():
    a, b = noise(20, 5).double(), 1.3 * noise(30, 5, seed=1).double() + 0.4
    result = set_metrics.kernel_distance(a, b)
    turn = torch.linalg.qr(noise(5, 5, seed=2).double())[0]
    for x, y in ((a.flip(0), b.roll(3, 0)), (70 * a, 70 * b), (a + 9, b + 9), (a @ turn, b @ turn)):
        assert set_metrics.kernel_distance(x, y) == pytest.approx(result, abs=1e-9)


def test_kernel_distance_takes_its_scale_from_the_reference():
    narrow, wide = noise(50, 2), 5 * noise(50, 2, seed=1)
    bandwidth = float(torch.pdist(wide).median())

    def kernel(x, y):
        return np.exp(-((x[:, None] - y[None]) ** 2).sum(-1) / (2 * bandwidth**2))

    a, b = narrow.double().numpy(), wide.double().numpy()
    off = ~np.eye(50, dtype=bool)
    expected = kernel(a, a)[off].mean() + kernel(b, b)[off].mean() - 2 * kernel(a, b).mean()
    assert set_metrics.kernel_distance(narrow, wide) == pytest.approx(100 * expected, rel=1e-5)
    assert set_metrics.kernel_distance(wide, narrow) != pytest.approx(100 * expected, rel=0.1)


@pytest.mark.parametrize(
    ("estimate", "reference", "named"),
    [
        (noise(1, 3), noise(9, 3), "estimate set is"),
        (noise(9, 3), noise(1, 3), "reference set is"),
        (noise(9), noise(9), "estimate set is"),
        (noise(9, 3), noise(9, 4), "3 and 4 numbers"),
        (noise(9, 3) * math.nan, noise(9, 3), "estimate set has an embedding that is not finite"),
        (noise(9, 3), noise(9, 3) / 0, "reference set has an embedding that is not finite"),
        (noise(9, 3), torch.ones(9, 3), "one point"),
    ],
)
def test_kernel_distance_refuses_what_has_none(estimate, reference, named):
    with pytest.raises(ValueError, match=named):
        set_metrics.kernel_distance(estimate, reference)


# Frechet distance


def test_frechet_distance_of_intervals_by_hand():
    """Means 1 and 4, standard deviations 2 and 1 (of the sample): 3^2 + (2 - 1)^2."""
    a, b = (torch.tensor([[-1.0], [1.0]]) / math.sqrt(2) * deviation for deviation in (2, 1))
    assert set_metrics.frechet_distance(a + 1, b + 4) == pytest.approx(10)


@pytest.mark.parametrize(("a", "b"), [((60, 6), (90, 6)), ((5, 16), (9, 16)), ((2, 3), (40, 3))])
def test_frechet_distance_is_the_formula_with_scipys_matrix_root(a, b):
    linalg = pytest.importorskip("scipy.linalg")
    x, y = (
        noise(*a).double(),
        1.5 * noise(*b, seed=1).double() @ noise(b[1], b[1], seed=2).double() + 0.3,
    )
    c, d = (np.cov(z.numpy().T) for z in (x, y))
    root = linalg.sqrtm(c @ d + 1e-12 * np.eye(a[1])).real
    expected = float((x.mean(0) - y.mean(0)).square().sum()) + np.trace(c + d - 2 * root)
    assert set_metrics.frechet_distance(x, y) == pytest.approx(expected, rel=1e-4)
    assert set_metrics.frechet_distance(y, x) == pytest.approx(expected, rel=1e-4)
    assert set_metrics.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_one_distribution_shrinks_as_sets_grow():
    """Its bias: the reason why it is shown with N, and beside real against real."""
    result = [
        set_metrics.frechet_distance(noise(n, 8), noise(n, 8, seed=1)) for n in (10, 40, 160, 640)
    ]
    assert all(then < first / 2 for first, then in zip(result, result[1:], strict=False))


# Density and coverage


def test_density_and_coverage_by_hand():
    """Real sounds at 0, 1, 3 and 10 have their nearest at 1, 1, 2 and 7; a ball does not hold its
    edge.
    """
    real = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    # the first is in two balls, the second in those of 3 and 10
    judged = torch.tensor([[0.5], [4.0]])
    assert set_metrics.density(judged, real, 1) == pytest.approx(2)
    assert set_metrics.coverage(judged, real, 1) == 1
    assert set_metrics.coverage(judged[:1].repeat(2, 1), real, 1) == 0.5
    assert (
        set_metrics.density(judged + 1000, real, 1)
        == set_metrics.coverage(judged + 1000, real, 1)
        == 0
    )


def test_density_and_coverage_equal_scikit_learns_neighbours():
    neighbours = pytest.importorskip("sklearn.neighbors")
    real, judged = noise(60, 4).double(), 0.8 * noise(50, 4, seed=1).double() + 0.2
    radius = neighbours.NearestNeighbors(n_neighbors=6).fit(real).kneighbors(real)[0][:, -1]
    apart = np.linalg.norm(real.numpy()[:, None] - judged.numpy()[None], axis=2)
    assert set_metrics.density(judged, real) == pytest.approx(
        (apart < radius[:, None]).sum(0).mean() / 5
    )
    assert set_metrics.coverage(judged, real) == pytest.approx((apart.min(1) < radius).mean())


def test_density_and_coverage_of_one_distribution_are_what_the_paper_expects():
    n, k, draws = 30, 5, 200
    pairs = [(noise(n, 3, seed=i), noise(n, 3, seed=1000 + i)) for i in range(draws)]
    expected = 1 - math.prod((n - j) / (2 * n - j) for j in range(1, k + 1))
    assert np.mean([set_metrics.coverage(*pair) for pair in pairs]) == pytest.approx(
        expected, abs=0.01
    )
    assert np.mean([set_metrics.density(*pair) for pair in pairs]) == pytest.approx(1, abs=0.05)


def test_density_rises_and_coverage_falls_where_a_generator_makes_one_sound_only():
    real = noise(200, 4)
    one = real.mean(0) + 0.05 * noise(200, 4, seed=1)
    assert set_metrics.density(one, real) > 1.5 and set_metrics.coverage(one, real) < 0.5


@pytest.mark.parametrize("count", [0, 5, -1])
def test_too_many_neighbours_are_refused(count):
    with pytest.raises(ValueError, match=f"{count} neighbours"):
        set_metrics.density(noise(9, 2), noise(5, 2), count)


# Copies


def test_nearest_distance_is_0_for_a_copy_and_the_least_otherwise():
    training = torch.tensor([[0.0, 0], [3, 4]])
    result = set_metrics.nearest_distance(torch.tensor([[3.0, 4], [0, 1], [6, 8]]), training)
    torch.testing.assert_close(result, torch.tensor([0.0, 1, 5]))


def test_copied_share_finds_the_copies_and_expects_some_of_what_is_new():
    training, held_out, new = (noise(400, 6, seed=i) for i in range(3))
    limit = set_metrics.nearest_distance(held_out, training)
    fresh = set_metrics.nearest_distance(new, training)
    assert set_metrics.copied_share(fresh, limit) == pytest.approx(0.05, abs=0.03)
    copies = torch.cat((training[:100] + 0.01, new[100:]))
    assert set_metrics.copied_share(
        set_metrics.nearest_distance(copies, training), limit
    ) == pytest.approx(0.29, abs=0.04)


# The floor


def test_the_floor_is_real_against_real_and_what_is_real_stands_on_it():
    real = noise(80, 3)
    alike = set_metrics.against_floor(set_metrics.frechet_distance, noise(60, 3, seed=1), real)
    other = set_metrics.against_floor(set_metrics.frechet_distance, noise(60, 3, seed=1) + 1, real)
    assert alike.count == other.count == 40 and alike.floor == other.floor
    assert alike.value == pytest.approx(alike.floor, abs=0.2) and other.value > other.floor + 2
    assert 0 < alike.spread < 0.3 and 0 < alike.floor_spread < 0.3


def test_the_floor_pairs_no_sound_with_itself_and_uses_each_once():
    seen = []

    def distance(a, b):
        seen.append((a.flatten().tolist(), b.flatten().tolist()))
        return float(len(seen))

    result = set_metrics.against_floor(
        distance, torch.arange(100.0, 103)[:, None], torch.arange(10.0)[:, None], rounds=6
    )
    assert (
        result.count == 3
        and result.value == np.mean(range(1, 12, 2))
        and result.floor == np.mean(range(2, 13, 2))
    )
    for (judged, reference), (other, again) in zip(seen[::2], seen[1::2], strict=True):
        assert sorted(judged) == [100, 101, 102] and reference == again
        assert len({*other, *reference}) == 6 and max(*other, *reference) < 10
    assert len({tuple(reference) for _, reference in seen[::2]}) > 3  # drawn anew each time
    again = set_metrics.against_floor(
        distance, torch.arange(3.0)[:, None], torch.arange(10.0)[:, None], 6, seed=1
    )
    assert again.count == 3 and seen[12][1] != seen[0][1]


def test_too_few_sounds_for_a_floor_are_refused():
    with pytest.raises(ValueError, match="not 1 and 9"):
        set_metrics.against_floor(set_metrics.coverage, noise(1, 2), noise(9, 2))
    with pytest.raises(ValueError, match="not 3 and 3"):
        set_metrics.against_floor(set_metrics.coverage, noise(3, 2), noise(3, 2))
