import numpy as np
import pytest
from arch.bootstrap import optimal_block_length as arch_block_length
from scipy import fft, signal, stats

from darts_mim.metrics import bootstrap
from darts_mim.metrics.bootstrap import optimal_block_length, ratio_interval, stationary_resamples
from darts_mim.metrics.diebold_mariano import n_cosines
from darts_mim.metrics.origins import Origins


def autoregressive(n, correlation, shape=(), *, seed=0):
    noise = np.random.default_rng(seed).normal(size=(n, *shape))
    return signal.lfilter([1], [1, -correlation], noise, axis=0)


@pytest.mark.parametrize("n", [60, 333, 1300])
@pytest.mark.parametrize("correlation", [-0.4, 0.0, 0.5, 0.9])
def test_the_block_length_is_archs(n, correlation):
    """But where an autocorrelation is at the threshold: arch leaves one pair out of its scale."""
    values = autoregressive(n, correlation, (5, 8))
    expected = arch_block_length(values.reshape(n, 40))["stationary"].to_numpy().reshape(5, 8)
    equal = np.isclose(optimal_block_length(values), np.maximum(expected, 1), rtol=1e-9)
    assert equal.mean() >= 0.9


def test_pairs_are_counted_at_their_true_distance():
    """As on the regular axis with 0, the mean, where an origin is missing."""
    places = np.delete(np.arange(400), np.r_[100:160, 200:400:7])
    values = autoregressive(len(places), 0.6)
    filled = np.zeros(400)
    filled[places] = values - values.mean()
    n, most = len(places), int(np.ceil(len(places) ** 0.5)) + 5
    covariance = np.array([filled[lag:] @ filled[: 400 - lag] / n for lag in range(most + 1)])
    seen = np.isin(np.arange(400), places)
    scale = [
        np.sqrt((filled[lag:] ** 2 @ seen[: 400 - lag]) * (filled[: 400 - lag] ** 2 @ seen[lag:]))
        for lag in range(most + 1)
    ]
    small = abs(covariance * n / scale) < 2 * np.sqrt(np.log10(n) / n)
    m = 2 * next(lag for lag in range(1, most) if small[lag : lag + 5].all())
    weight = [min(1, 2 * (1 - lag / m)) for lag in range(1, m + 1)]
    slope = sum(2 * w * lag * covariance[lag] for lag, w in enumerate(weight, 1))
    spectrum = covariance[0] + sum(2 * w * covariance[lag] for lag, w in enumerate(weight, 1))
    expected = (2 * slope**2 / (2 * spectrum**2) * n) ** (1 / 3)
    np.testing.assert_allclose(optimal_block_length(values, places), expected, rtol=1e-9)
    assert abs(optimal_block_length(values) - expected) > 0.1


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_or_equal_values_have_blocks_of_one(n):
    assert optimal_block_length(np.ones((n, 2))).tolist() == [1, 1]


def test_resamples_are_blocks_of_geometric_length():
    n, length = 50, 4.0
    rows = np.concatenate(list(stationary_resamples(n, length, n_resamples=9000, random_state=0)))
    assert rows.shape == (9000, n)
    goes_on = (np.diff(rows, axis=1) % n == 1).mean()
    np.testing.assert_allclose(goes_on, 1 - 1 / length + 1 / length / n, atol=0.003)
    np.testing.assert_allclose(np.bincount(rows.ravel()) / rows.size, 1 / n, rtol=0.03)


def test_the_variance_of_a_mean_is_politis_and_romanos():
    x, length = autoregressive(80, 0.7), 6.0
    centred, n = x - x.mean(), 80
    circular = [centred @ np.roll(centred, -lag) / n for lag in range(n)]
    kept = [(1 - lag / n) * (1 - 1 / length) ** lag for lag in range(n)]
    exact = (circular[0] + 2 * sum(k * c for k, c in zip(kept[1:], circular[1:], strict=True))) / n
    rows = np.concatenate(list(stationary_resamples(n, length, n_resamples=20000, random_state=0)))
    np.testing.assert_allclose(x[rows].mean(1).var(), exact, rtol=0.04)


def test_the_seed_draws_the_same():
    first, again, other = (
        np.concatenate(list(stationary_resamples(30, 3.0, n_resamples=9, random_state=seed)))
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def losses(n=120, *, series=2, seed=0):
    rng = np.random.default_rng(seed)
    noise = signal.lfilter([1], [1, -0.5], rng.gamma(2.0, size=(2, n, series)), axis=1)
    return noise * [[[0.9]], [[1.0]]]


def test_the_interval_by_a_loop():
    top, bottom = losses()
    origins, n = Origins(places=np.arange(120), overlap=3), 120
    low, high = ratio_interval(top, bottom, origins, n_resamples=200, random_state=7)
    ratio = top.sum(0) / bottom.sum(0)
    pooled = top.sum(1) / top.sum() - bottom.sum(1) / bottom.sum()
    length = max(arch_block_length(pooled)["stationary"].item(), 3)
    rows = np.concatenate(list(stationary_resamples(n, length, n_resamples=200, random_state=7)))

    def log_error(a, b):
        power = fft.dct(a / a.mean() - b / b.mean(), norm="ortho")[1 : n_cosines(origins) + 1] ** 2
        return np.sqrt(power.mean() / n)

    for i in range(2):
        drawn = np.array([np.log(top[row, i].sum() / bottom[row, i].sum() / ratio[i]) for row in rows])
        spread = np.sqrt(np.mean(drawn**2))
        shape = np.quantile(abs(drawn), 0.95, method="higher") / spread / 1.959963984540054
        size = stats.t.ppf(0.975, n_cosines(origins)) * log_error(top[:, i], bottom[:, i])
        reach = shape * size
        np.testing.assert_allclose(
            [low[i], high[i]], ratio[i] * np.exp([-reach, reach]), rtol=1e-9, err_msg=str(i)
        )


def test_forecasts_change_sides():
    top, bottom = losses()
    options = {"origins": Origins(places=np.arange(120), overlap=3), "n_resamples": 200, "random_state": 0}
    low, high = ratio_interval(top, bottom, **options)
    other_low, other_high = ratio_interval(bottom, top, **options)
    np.testing.assert_allclose([low, high], [1 / other_high, 1 / other_low], rtol=1e-9)


def test_what_cannot_be_told_is_nan():
    top, bottom = losses(series=5)
    top[:, 0] = 0.0  # perfect
    bottom[:, 1] = 0.0
    top[:, 2] = bottom[:, 2]
    top[11:, 3] = bottom[11:, 3] = np.nan
    options = {"n_resamples": 50, "random_state": 0}
    low, high = ratio_interval(top, bottom, Origins(places=np.arange(120), overlap=3), **options)
    assert np.isnan([low, high]).tolist() == [[True] * 4 + [False]] * 2
    few = Origins(places=np.arange(11), overlap=3)
    assert np.isnan(ratio_interval(top[:11], bottom[:11], few, **options)).all()


def test_many_series_are_drawn_like_few(monkeypatch):
    top, bottom = losses(series=7)
    options = {"origins": Origins(places=np.arange(120), overlap=3), "n_resamples": 60, "random_state": 0}
    at_once = ratio_interval(top, bottom, **options)
    monkeypatch.setattr(bootstrap, "SERIES", 3)
    np.testing.assert_allclose(ratio_interval(top, bottom, **options), at_once, rtol=1e-12)


def test_a_95_percent_interval_takes_20_resamples():
    top, bottom = losses()
    with pytest.raises(ValueError, match="n_resamples=19 came"):
        ratio_interval(top, bottom, Origins(places=np.arange(120), overlap=3), n_resamples=19, random_state=0)
