import pytest
from metrics.fields import field

from darts_mim import Persistence, backtest
from darts_mim.metrics import CriticalSuccessIndex, FractionsSkillScore, mse, named
from darts_mim.metrics.names import NUMBERED, PLAIN


def test_numbers_stand_behind_the_name():
    assert named("mse") is mse
    csi, fss = named("csi_30"), named("fss_0.5_9")
    assert isinstance(csi, CriticalSuccessIndex) and csi.threshold == 30
    assert isinstance(fss, FractionsSkillScore) and (fss.threshold, fss.scale) == (0.5, 9)
    assert named("csi_-2.5").name == "csi_-2.5"


@pytest.mark.parametrize("name", ["csi", "csi_high", "csi_1_2", "fss_1", "Mse", "mse_1", "", "acc", 5])
def test_what_is_not_known_says_what_is(name):
    with pytest.raises(ValueError, match=r"is not known. Choose from \['mse', .*'csi_THRESHOLD'"):
        named(name)


def test_a_backtest_takes_all_of_them_by_name():
    series = field(0).isel(lead_time=0, drop=True).rename(init_time="time")
    numbers = {"fss": "0.5_3", "power_ratio": "4", "ssim": "1"}
    wanted = [f"{stem}_{numbers.get(stem, '0.5')}" for stem in NUMBERED]
    wanted = [name for name in [*PLAIN, *wanted] if not named(name).reads]
    model = Persistence().fit(series[:2])
    result = backtest(model, series, start=series.time[2], horizon=2, metrics=wanted)
    assert list(result.scores) == wanted
    truth = result.observed
    for name in wanted:
        direct = named(name)(
            result.forecasts["Persistence"], truth, dims=[dim for dim in truth.dims if dim != "lead_time"]
        )
        assert abs(result.scores[name].isel(model=0) - direct).max() < 1e-6
