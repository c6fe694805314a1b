import numpy as np
import pytest
from scipy import fft, stats

from darts_mim.metrics.diebold_mariano import Projections, cosines, diebold_mariano, n_cosines
from darts_mim.metrics.origins import Origins


def whole(n, overlap=1):
    return Origins(places=np.arange(n), overlap=overlap)


def smooth(n, *, series=3, seed=0):
    rng = np.random.default_rng(seed)
    return np.apply_along_axis(np.convolve, 0, rng.normal(size=(n + 3, series)), np.ones(4), "valid")


@pytest.mark.parametrize("n", [40, 201])
def test_the_cosine_transform_is_scipys(n):
    values, origins = smooth(n), whole(n, 4)
    b = n_cosines(origins)
    power = fft.dct(values, type=2, norm="ortho", axis=0)[1 : b + 1] ** 2
    expected = values.mean(0) / np.sqrt(power.mean(0) / n)
    statistic, p_value = diebold_mariano(Projections.of(values, cosines(origins)), origins)
    np.testing.assert_allclose(statistic, expected, rtol=1e-10)
    np.testing.assert_allclose(p_value, 2 * stats.t(b).sf(abs(expected)), rtol=1e-9)


def test_missing_origins_and_values_by_a_loop():
    """Each cosine keeps its true place; what slower ones say where there are origins is taken off it."""
    values = smooth(60)
    values[5:20, 1] = np.nan
    values[::3, 2] = np.nan
    places = np.delete(np.arange(70), np.arange(31, 41))
    origins = Origins(places=places, overlap=6)
    error = Projections.of(values, cosines(origins)).standard_error
    slower, squares = [np.ones(60)], [[], [], []]
    for j in range(1, n_cosines(origins) + 1):
        wave = np.cos(j * np.pi * (places + 0.5) / 70)
        wave -= sum((wave @ other) / (other @ other) * other for other in slower)
        slower.append(wave)
        for i, column in enumerate(values.T):
            there = ~np.isnan(column)
            part = wave[there] - wave[there].mean()
            squares[i].append((part @ column[there]) ** 2 / (part @ part))
    expected = [np.sqrt(np.mean(squares[i]) / (~np.isnan(values[:, i])).sum()) for i in range(3)]
    np.testing.assert_allclose(error, expected, rtol=1e-9)


def test_parts_add_up():
    values, waves = smooth(90), cosines(whole(90))
    values[70, 1] = np.nan
    total = Projections.of(values, waves)
    parts = [Projections.of(values[i : i + 30], waves[:, i : i + 30]) for i in (0, 30, 60)]
    added = parts[0] + parts[1] + parts[2]
    np.testing.assert_allclose(added.standard_error, total.standard_error, rtol=1e-10)
    np.testing.assert_allclose(added.mean, np.nanmean(values, 0), rtol=1e-12)


@pytest.mark.parametrize(
    ("n", "overlap", "expected"), [(1300, 1, 23), (200, 4, 6), (200, 24, 4), (20, 1, 3), (10**6, 1, 64)]
)
def test_number_of_cosines(n, overlap, expected):
    assert n_cosines(whole(n, overlap)) == expected


def test_bursts_far_apart_keep_the_freedom_of_students_t():
    """Left as they are, the cosines would be one and the same, and t would claim a freedom it lacks."""
    places = np.r_[:100, 5000:5100]
    origins, bursts = Origins(places=places, overlap=1), smooth(2 * 103, series=4000).reshape(2, 103, -1)
    values = bursts[:, :100].reshape(200, -1)
    _, p_value = diebold_mariano(Projections.of(values, cosines(origins)), origins)
    assert 0.035 < (p_value < 0.05).mean() < 0.065
    far = np.cos(np.pi * np.arange(1, n_cosines(origins) + 1)[:, None] * (places + 0.5) / 5100)
    _, p_value = diebold_mariano(Projections.of(values, far), origins)
    assert (p_value < 0.05).mean() > 0.1


def test_what_cannot_be_told_is_nan():
    origins = whole(15, 4)
    few = Projections.of(smooth(15), cosines(origins))
    equal = Projections.of(np.zeros((50, 2)), cosines(whole(50)))
    gone = Projections.of(np.full((50, 2), np.nan), cosines(whole(50)))
    for sums, where in ((few, origins), (equal, whole(50)), (gone, whole(50))):
        assert np.isnan(diebold_mariano(sums, where)).all()
