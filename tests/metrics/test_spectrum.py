import numpy as np
import pytest
from metrics.fields import DIMS, SPACE, field, gappy

from darts_mim.metrics import PowerRatio, PowerSpectrumRatio


def powers(values):
    """Squared amplitudes by their sums, with the waves per cell of each: no FFT."""
    rows, columns = values.shape
    found = []
    for a in range(-(rows // 2), (rows + 1) // 2):
        for b in range(-(columns // 2), (columns + 1) // 2):
            phase = a * np.arange(rows)[:, None] / rows + b * np.arange(columns) / columns
            amplitude = (values * np.exp(-2j * np.pi * phase)).sum()
            found.append((np.hypot(a / rows, b / columns), abs(amplitude) ** 2 / values.size))
    return np.array(found).T


def test_spectrum_equals_direct_sums():
    forecast, truth = (
        one.isel(init_time=0, lead_time=1, channel=0, drop=True) for one in (field(0), field(1))
    )
    statistic = PowerSpectrumRatio().statistic(forecast, truth, SPACE)
    np.testing.assert_allclose(statistic.value["wavelength"], 14 / np.arange(1, 8))
    for name, one in {"forecast": forecast, "observed": truth}.items():
        waves, power = powers(one.values)
        expected = [power[np.rint(14 * waves) == ring].mean() for ring in range(1, 8)]
        np.testing.assert_allclose(statistic.value.sel(part=name), expected, rtol=1e-9)


@pytest.mark.parametrize("wavelength", [2, 3, 4.5, 20])
def test_power_ratio_equals_direct_sums(wavelength):
    forecast, truth = (one.isel(init_time=0, lead_time=1, drop=True) for one in (field(0), field(1)))
    total = []
    for one in (forecast, truth):
        pairs = [powers(one.values[channel]) for channel in range(2)]
        total.append(sum(power[wavelength * waves >= 1 - 1e-9].sum() for waves, power in pairs))
    score = PowerRatio(wavelength=wavelength)(forecast, truth, dims=("channel", *SPACE))
    np.testing.assert_allclose(score, total[0] / total[1], rtol=1e-9)


def test_all_waves_hold_the_variance():
    """Parseval's theorem."""
    forecast, truth = field(0), field(1)
    space = {dim: forecast.sizes[dim] for dim in SPACE}
    assert max(space.values()) == 14
    ratio = PowerRatio(wavelength=14)(forecast, truth, dims=SPACE)
    np.testing.assert_allclose(ratio, forecast.var(SPACE) / truth.var(SPACE), rtol=1e-9)


def test_a_wave_has_its_wavelength():
    truth = 0 * field(0) + np.sin(2 * np.pi * np.arange(14) * 2 / 14) + 2
    score = PowerSpectrumRatio()(3 * truth, truth, dims=DIMS)
    np.testing.assert_allclose(score.sel(wavelength=7), 9, rtol=1e-9)


def test_blur_shows_at_short_waves():
    truth = field(1)
    blurred = (truth + truth.roll(x=1) + truth.roll(y=1)) / 3
    ratio = PowerSpectrumRatio()(blurred, truth, dims=DIMS)
    assert ratio[0] > 0.8 and ratio[-1] < 0.3
    assert PowerRatio(wavelength=4)(blurred, truth, dims=DIMS) < 0.5


def test_only_whole_fields_count():
    statistic = PowerRatio(wavelength=4).statistic(field(0), gappy(), DIMS)
    assert statistic.weight == 6 * 3 * 2 - 3
    masked = field(1).where(np.arange(14) > 0)
    assert PowerRatio(wavelength=4)(field(0), masked, dims=DIMS).isnull()


def test_too_short_a_wave_is_an_error():
    with pytest.raises(ValueError, match="Pass 2 or more"):
        PowerRatio(wavelength=1.5)
