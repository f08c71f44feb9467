"""The three routes side by side under noise with a covariance."""

import json

import pytest

import witten
from witten import noise
from witten.cli import main

LOSS = noise.loss(1, 0.2)


def test_three_routes_agree_under_noise_with_a_covariance(tmp_path):
    def few_paths(f, s):
        return witten.simulate_rate(f, s, noise=LOSS, paths=256, width=0.5)

    file = tmp_path / "routes.nc"
    found = witten.validate("double-well", 0.5, noise=LOSS, monte_carlo=few_paths, output=file)
    (record,) = found.records
    assert found.agree and None not in (record.spectral, record.theory, record.monte_carlo)
    assert found.covariance == LOSS.text and found.barrier is None
    again = witten.validate("double-well", 0.5, noise=LOSS, monte_carlo=few_paths, output=file, resume=True)
    assert again.records[0].monte_carlo.log_rate == record.monte_carlo.log_rate
    with pytest.raises(ValueError, match="covariance"):
        witten.validate("double-well", 0.5, noise=noise.loss(1, 0.3), monte_carlo=few_paths, output=file, resume=True)


def test_the_command_line_knows_it(capsys):
    words = ["theory", "double-well", "--lr", "0.05", "--noise-model", "loss:c=1,floor=0.2", "--json"]
    with pytest.raises(SystemExit):
        main(words)
    found = json.loads(capsys.readouterr().out)
    assert found["noise"] == LOSS.text and found["exits"][0]["into"] == 1 and found["records"][0]["resolved"] == [True]
    assert found["barrier"] == pytest.approx(0.8109302, rel=1e-6)  # log(0.45/0.2)
    with pytest.raises(SystemExit) as ended:
        main(["validate", "double-well", "--lr", "0.5", "--covariance", "1+x^2", "--report", "page.html"])
    assert ended.value.code == 2 and "--report" in capsys.readouterr().err
