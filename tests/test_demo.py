import pytest
from typer.testing import CliRunner

from darts_mim import datasets, demo
from darts_mim.cli import app

RIVALS = ["damped anomaly", "half hour of week", "last week", "last frame"]


def test_quick_demo_writes_a_report_and_says_what_it_does(tmp_path):
    ran = CliRunner().invoke(app, ["demo", "--quick", "--out", str(tmp_path)], catch_exceptions=False)
    assert ran.exit_code == 0
    for step in ("1/3", "2/3", "3/3", "windows used", "report.html"):
        assert step in ran.stdout
    report = (tmp_path / "report.html").read_text()
    for name in ("MIM", *RIVALS):
        assert name in report


def test_a_folder_that_cannot_be_made_is_an_error_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    ran = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "file")])
    assert ran.exit_code == 2 and "1/3" not in ran.output
    with pytest.raises(NotADirectoryError):
        demo.run(tmp_path / "file" / "out")


def test_the_same_seed_gives_the_same_forecast():
    train = datasets.nyc_taxi()[:400]
    models = [demo.make_model(n_epochs=1, random_state=seed).set_params(mim__hidden=4) for seed in (1, 1, 2)]
    one, same, other = (model.fit(train).predict(4) for model in models)
    assert one.identical(same)
    assert not one.equals(other)


@pytest.mark.slow
def test_mim_beats_every_simple_forecast_at_every_lead(tmp_path):
    ran = demo.run(tmp_path)
    mse = ran.result.scores["mse"]
    for rival in RIVALS:
        assert (mse.sel(model="MIM") < mse.sel(model=rival)).all(), rival
    assert ran.result.n_origins == 1293
    assert ran.seconds < 600
