"""The studies agree with their papers in their quick form, and say so when they do not."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from launcher import cli, environment, in_process

from witten.descent import thresholds
from witten.errors import RequestError
from witten.studies import study
from witten.studies.study import Check, Study, above, agrees, at_most, close, holds, same

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["step-size-matters", "large-learning-rate"])
def test_every_claim_is_observed(name):
    found = study.run(name, quick=True)
    assert len(found.checks) >= 12 and len(found.figures) >= 2
    assert [check for check in found.checks if not check.ok] == []
    json.dumps(found.as_dict(), allow_nan=False)
    page = json.loads((ROOT / "docs" / "papers" / f"{name}.json").read_text())["checks"]
    assert [(check["what"], check["expected"]) for check in page] == [(c.what, c.expected) for c in found.checks]


def test_what_the_noise_of_minibatches_changes():
    found = study.run("minibatch-noise", quick=True)
    assert [check for check in found.checks if not check.ok] == [] and len(found.checks) >= 20
    page = json.loads((ROOT / "docs" / "papers" / "minibatch-noise.json").read_text())["checks"]
    assert {check.what for check in found.checks} < {check["what"] for check in page}
    assert all(each.draw().axes for each in found.figures)


def test_whether_momentum_helps():
    found = study.run("momentum", quick=True)
    assert [check for check in found.checks if not check.ok] == [] and len(found.checks) >= 20
    page = json.loads((ROOT / "docs" / "papers" / "momentum.json").read_text())["checks"]
    assert len({check.what for check in found.checks} & {check["what"] for check in page}) >= len(found.checks) - 2


def test_a_wrong_formula_is_noticed(monkeypatch):
    from witten.studies import large_learning_rate

    entry = thresholds.THRESHOLDS["merging"]
    wrong = {**thresholds.THRESHOLDS, "merging": entry.__class__(**{**vars(entry), "predict": lambda: 1.6})}
    monkeypatch.setattr(thresholds, "THRESHOLDS", wrong)
    assert [check.ok for check in large_learning_rate._line()].count(False) == 1


def test_checks_compare():
    assert close("", 2.0, 2.1, relative=0.06).ok and not close("", 2.0, 2.1, relative=0.04).ok
    assert close("", 0.0, 1e-3, absolute=2e-3).ok and not close("", 1.0, math.nan, relative=1.0).ok
    assert agrees("", 1.0, 1.1, 0.9, 1.3).ok and not agrees("", 0.8, 1.1, 0.9, 1.3).ok
    assert at_most("", 1.0, 1.0).ok and not at_most("", 1.0, math.nan).ok
    assert not above("", 1.0, 1.0).ok and above("", 1.0, 1.1).ok
    assert same("", "a", "a").ok and not same("", 0.0, 0.1).ok
    assert holds("", True).ok and not holds("", False).ok
    assert Study("", "", (holds("", True),)).ok and not Study("", "", (holds("", True), holds("", False))).ok


def test_an_unknown_study_is_refused():
    with pytest.raises(RequestError, match="later-results"):
        study.run("later-result")


def test_every_study_of_the_list_exists():
    from importlib import import_module

    assert all(callable(import_module(module).run) for module in study.STUDIES.values())


@pytest.mark.parametrize(("offset", "status"), [(0.1, 3), (1.0, 0)])
def test_a_disagreement_is_exit_status_three(monkeypatch, offset, status):
    checks = study.holds("this is so", True), study.close("that is so", 1.0, 1.5, absolute=offset)
    planted = SimpleNamespace(run=lambda quick: study.Study("planted", "A study", checks))
    monkeypatch.setitem(sys.modules, "planted", planted)
    monkeypatch.setattr(study, "STUDIES", {"planted": "planted"})
    done = in_process("study", "all", "--json")
    assert (done.returncode, done.stderr) == (status, "")
    (found,) = json.loads(done.stdout)["studies"]
    assert found["name"] == "planted" and [check["ok"] for check in found["checks"]] == [True, status == 0]
    assert set(found["checks"][0]) == set(Check.__dataclass_fields__)


def test_the_third_study_for_a_person_with_figures(tmp_path):
    done = cli("study", "later-results", "--quick", "--figures", tmp_path / "figures", env=environment())
    assert done.returncode == 0 and "27 of 27 agree" in done.stdout, done
    assert len(list((tmp_path / "figures").glob("later-results-*.png"))) == 3


def test_studies_on_one_page():
    from witten.plots.style import new_figure
    from witten.report.studies import studies_page

    figure = study.Illustration("empty", "Nothing is <b>to be seen</b>.", lambda: new_figure(1, 1, (2.0, 2.0))[0])
    good = Study("good", "A paper", (close("one & one", 2.0, 2.0, absolute=0.1),), (figure,))
    bad = Study("bad", "Another", (holds("pigs fly", False), same("<script>", "a", "a")))
    text = studies_page([good, bad])
    assert "2 of 3 claims agree" in text and "1 of 2 claims agree" in text
    assert "one &amp; one" in text and "&lt;script&gt;" in text and "&lt;b&gt;to be seen" in text
    assert text.count("<svg") == 1
