"""witten explain as its users meet it, beside values that quadrature, scaling or a closed form give."""

import json
import math
import shlex

import numpy as np
import pytest
import xarray
from launcher import cli, restored
from scipy.integrate import quad
from scipy.optimize import brentq

import witten
from witten.cli import main
from witten.domains.sets import predicate
from witten.errors import RequestError
from witten.explanation.words import in_words
from witten.number_format import readable
from witten.objectives import resolve


@pytest.fixture(autouse=True)
def process():
    """The command line is made for a process of its own: what it changes is put back."""
    with restored():
        yield


@pytest.fixture
def here_alone(monkeypatch):
    """Half and twice the learning rate are not computed on grids: that costs most in the plane."""

    def refuse(asked, learning_rate):
        raise RequestError("not here")

    monkeypatch.setattr("witten.explanation.asked.Asked.gap", refuse)


@pytest.fixture
def explained(capsys):
    """The JSON of `witten explain ...`."""

    def run(line, *more):
        with pytest.raises(SystemExit) as leaving:
            main(["explain", *shlex.split(line), *more, "--json"])
        out, err = capsys.readouterr()
        assert leaving.value.code == 0, err
        assert out.count("\n") == 1 and "NaN" not in out and "Infinity" not in out
        return json.loads(out)

    return run


def says(found):
    return " ".join(found["words"])


def integral(function, *ends):
    """With the ends of pieces where it is not smooth."""
    pieces = zip(ends[:-1], ends[1:], strict=True)
    return sum(quad(function, a, b, epsabs=0, epsrel=1e-11, limit=400)[0] for a, b in pieces)


class Line:
    """Two wells a > b on a line, by quadrature; the sets between which paths go are those around points."""

    def __init__(self, f, text, s, b, z, a):
        self.f, self.s = f, s
        self.low, self.high, self.minima, self.z = b - 3.0, a + 3.0, (b, a), z
        first, last = (predicate([m], resolve(text), s).__self__.radius for m in (b, a))
        self.edges = b + first, a - last

    def weight(self, x):
        return np.exp(-2 * (self.f(x) - self.f(self.z)) / self.s)

    def mass(self, low, high):
        return integral(self.weight, *sorted({low, high, *(m for m in (*self.minima, self.z) if low < m < high)}))

    def crossed(self, x):
        """The part of the resistance from b on that lies below x."""
        first, last = self.edges
        parts = [integral(lambda t: 1 / self.weight(t), *sorted({first, end, *([self.z] if self.z < end else [])}))
                 for end in (x, last)]  # fmt: skip
        return parts[0] / parts[1]

    def mean_time(self):
        """From a to b: 2/s times the resistance, times the mass weighted with the probability to come to a first."""
        first, last = self.edges
        resistance = integral(lambda t: 1 / self.weight(t), first, self.z, last)
        between = integral(lambda t: self.weight(t) * self.crossed(t), first, self.z, last)
        return 2 / self.s * resistance * (between + self.mass(last, self.high))


# ------------------------------------------------------------------------------------------------ transitions


def test_a_tilted_double_well_is_explained(explained):
    found = explained("double-well:tilt=0.1 --lr 0.1")
    f = np.polynomial.Polynomial([0.25, 0.1, -0.5, 0, 0.25])
    b, z, a = sorted(f.deriv().roots().real)
    line = Line(f, "double-well:tilt=0.1", 0.1, b, z, a)
    assert found["kind"] == "transition" and "wells exchange mass: well 0 at (-1.04668) with well 1" in says(found)
    limiting = found["limiting"]
    assert limiting["saddle"] == pytest.approx([z]) and limiting["curvature"] == pytest.approx(f.deriv(2)(z))
    assert limiting["barrier"] == pytest.approx(f(z) - f(a)) and limiting["barrier_back"] == pytest.approx(f(z) - f(b))
    total = line.mass(line.low, line.high)
    for well, part in zip(found["masses"], (line.mass(line.low, z), line.mass(z, line.high)), strict=True):
        assert well["mass"] == pytest.approx(part / total, rel=well["mass_error"]) and well["mass_error"] < 0.01
        assert well["law"] == pytest.approx(part / total, rel=well["law_error"]) and well["law_error"] < 0.1
    times = {(t["from"], t["to"], t["by"]): t for t in found["mean_times"]}
    for by in ("committor", "law"):
        there = times[1, 0, by]
        assert there["time"] == pytest.approx(line.mean_time(), rel=there["relative_error"]), by
        assert there["steps"] == pytest.approx(there["time"] / 0.1)
    half = found["committor_half"]
    middle = brentq(lambda x: line.crossed(x) - 0.5, b / 2, a / 2)
    assert half["beyond_saddle"] == pytest.approx(z - middle, abs=half["error"]) and half["error"] < 1e-3
    assert half["at_saddle"] == pytest.approx(1 - line.crossed(z), abs=half["at_saddle_error"])
    assert abs(half["law"] - (z - middle)) < 0.006  # what is left out is of order s^2
    assert found["path"]["length"] == pytest.approx(a - b) and found["path"]["highest"] == pytest.approx(f(z))


def test_the_offset_of_the_committor_is_that_of_the_law_as_s_falls(explained):
    away = [explained(f"double-well:tilt=0.1 --lr {s}")["committor_half"] for s in ("0.025", "0.0125")]
    gaps = [abs(half["beyond_saddle"] - half["law"]) for half in away]
    assert gaps[1] < gaps[0] / 3 + away[1]["error"] and abs(away[1]["beyond_saddle"]) > 5 * gaps[1]


def test_half_and_twice_the_learning_rate_are_computed(explained):
    found = explained("double-well --lr 0.1")
    known = {0.05: 1.9589273000e-5, 0.1: 2.7761406366e-3, 0.2: 3.3545287308e-2}
    assert found["rate"] == pytest.approx(known[0.1], rel=1e-6)
    for key, s in (("if_halved", 0.05), ("if_doubled", 0.2)):
        then = found[key]
        assert then["learning_rate"] == s and then["spectral"]["rate"] == pytest.approx(known[s], rel=1e-6)
        ratio, off = known[s] / known[0.1], then["law_factor_error"]
        assert then["spectral_factor"] == pytest.approx(ratio, rel=then["spectral_factor_error"] + 1e-8)
        assert abs(math.log(then["law_factor"] / ratio)) <= math.log1p(off)
        assert abs(math.log(math.exp((1 / 0.1 - 1 / s) / 2) / ratio)) > 1e-3  # e^(-2H/s) alone would be off
    assert found["routes"]["simulated"] is None and "--simulate" in found["why"]["simulated"]


def test_noise_counts_in_the_rate_and_not_in_the_steps(explained):
    found = explained("double-well --lr 0.025 --noise 2")
    assert found["rate"] == pytest.approx(2.7761406366e-3, rel=1e-6)
    assert all(t["steps"] == pytest.approx(t["time"] / 0.025) for t in found["mean_times"])


def test_the_unit_of_length_is_nothing(explained):
    found, plain = (explained(f"{f} --lr 0.1") for f in ('"(((x-1000)/50)^2-1)^2/4"', "double-well"))
    assert found["rate"] == pytest.approx(plain["rate"] / 2500, rel=1e-6)
    assert found["limiting"]["saddle"] == pytest.approx([1000]) and found["path"]["length"] == pytest.approx(100)
    assert found["committor_half"]["error"] == pytest.approx(50 * plain["committor_half"]["error"], rel=0.1)
    assert "1000" in says(found)


def test_a_rotated_well_has_the_path_of_the_line(here_alone, explained):
    g = "((x+y)^2/2-1)^2/4 + (x+y)/20 + (x-y)^2/4"
    found = explained(f'"{g}" --lr 0.1 --rtol 1e-2')
    line = explained('"(x^2-1)^2/4 + x*0.07071067811865475" --lr 0.1')
    assert found["rate"] == pytest.approx(line["rate"], rel=1e-2)
    length = found["path"]
    assert length["length"] == pytest.approx(line["path"]["length"], abs=length["length_error"] + 1e-9)
    assert length["length_error"] < 1e-2 * length["length"]
    half = found["committor_half"]
    assert half["beyond_saddle"] == pytest.approx(line["committor_half"]["beyond_saddle"], abs=half["error"])
    assert half["law"] == pytest.approx(line["committor_half"]["law"], rel=1e-6)
    for well, known in zip(found["masses"], line["masses"], strict=True):
        assert well["mass"] == pytest.approx(known["mass"], rel=well["mass_error"])


def test_a_tie_is_one(here_alone, explained):
    found = explained('"(x^2-1)^2/4 + (y^2-1)^2/4" --lr 0.15 --rtol 1e-2')
    one = witten.gap("double-well", 0.15).rates[0]
    assert found["multiplicity"] == 2 and "only the span of the 2 modes is fixed" in says(found)
    assert found["rate"] == pytest.approx(one, rel=1e-2)
    assert all(well["mass"] == pytest.approx(0.25, rel=well["mass_error"]) for well in found["masses"])
    assert [part["part"] for part in found["limits"]] == pytest.approx([0.25] * 4, abs=1e-3)


@pytest.mark.parametrize("s", ["0.001", "0.00005"])
def test_a_rate_below_all_doubles(explained, s):
    found = explained(f"double-well --lr {s}")
    law = math.log(math.sqrt(2) / math.pi * (1 - 0.75 * float(s))) - 0.5 / float(s)
    assert found["routes"]["spectral"]["log10_rate"] * math.log(10) == pytest.approx(law, abs=5 * float(s) ** 2 + 1e-7)
    assert found["kind"] == "transition" and (found["rate"] is None) == (s == "0.00005")
    for route, off in (("law", 1e-4), ("committor", 1e-3)):
        times = [t["log10_time"] * math.log(10) for t in found["mean_times"] if t["by"] == route]
        assert times == pytest.approx([math.log(2) - law] * 2, abs=off)


def test_kinks_have_no_law_and_no_curvature(explained):
    text = "abs(abs(x)-1) + x^2/20 + x/20"
    found = explained(f'"{text}" --lr 0.3')
    line = Line(lambda x: abs(abs(x) - 1) + x**2 / 20 + x / 20, text, 0.3, -1.0, 0.0, 1.0)
    assert found["kind"] == "transition" and found["routes"]["law"] is None and "degenerate" in found["why"]["law"]
    limiting = found["limiting"]
    assert limiting["curvature"] is None and limiting["value"] == pytest.approx(1.0, abs=limiting["error"] + 1e-15)
    there = next(t for t in found["mean_times"] if (t["from"], t["to"]) == (1, 0))
    assert there["time"] == pytest.approx(line.mean_time(), rel=there["relative_error"])


def test_on_a_circle(explained):
    found = explained('"cos(2*x)" --lr 0.2 --periodic "x=0:2*pi"')
    # Over either of two saddles, each with k = 4/(2 pi) e^(-20).
    assert found["rate"] == pytest.approx(16 / (2 * math.pi) * math.exp(-20), rel=0.05)
    assert [well["mass"] for well in found["masses"]] == pytest.approx([0.5, 0.5], rel=1e-6)
    assert found["limiting"]["curvature"] == pytest.approx(-4) and found["limiting"]["barrier"] == pytest.approx(2)
    assert "periodic" in found["why"]["law"]


def test_many_dimensions_have_the_law(explained):
    found, line = (explained(f"double-well{dim} --lr 0.05") for dim in (":dim=5", ""))
    assert found["routes"]["spectral"] is None and "three dimensions" in found["why"]["spectral"]
    one, same = (next(t for t in each["mean_times"] if t["by"] == "law") for each in (found, line))
    assert one["time"] == pytest.approx(same["time"], rel=1e-9)
    assert "three dimensions" in found["why"]["committor"] and found["path"]["length"] == pytest.approx(2)
    assert found["if_halved"]["law"]["rate"] == pytest.approx(line["if_halved"]["law"]["rate"], rel=1e-9)


def test_an_objective_without_a_formula(here_alone, explained, tmp_path):
    text = "from witten import Objective\nf = Objective.from_callable(lambda x: (x[0]**2-1)**2/4 + x[0]/10, 1)\n"
    (tmp_path / "mine.py").write_text(text)
    found = explained(f"{tmp_path}/mine.py:f --lr 0.1")
    assert found["rate"] == pytest.approx(0.0079642779, rel=1e-6)
    assert found["limiting"]["saddle"] == pytest.approx(np.roots([1, 0, -1, 0.1])[2:], abs=1e-6)


# ------------------------------------------------------------------------------------------------ no transition


def test_one_well_relaxes_along_its_softest_axis(here_alone, explained):
    found = explained('"(x+y)^2 + (x-y)^2/100" --lr 0.1 --rtol 1e-2')
    along = found["relaxation"]
    assert found["kind"] == "relaxation" and found["rate"] == pytest.approx(0.04, rel=1e-2)
    assert np.abs(along["direction"]) == pytest.approx([math.sqrt(0.5)] * 2, abs=1e-6)
    assert along["direction"][0] * along["direction"][1] < 0
    assert along["curvature"] == pytest.approx(0.04) and along["linear"] == pytest.approx(1, abs=1e-3)
    assert "one well and no barrier" in says(found) and "exchange" not in says(found)


def test_above_the_barrier_no_wells_exchange(explained):
    found = explained("double-well --lr 1")
    assert found["kind"] == "relaxation" and found["limiting"] is None and found["mean_times"] == []
    assert "no separation of scales" in says(found) and "0.25 s" in says(found)
    assert "exchange" not in json.dumps(found)


def test_wells_may_be_deep_and_the_slowest_mode_something_else(here_alone, explained):
    found = explained('"(x^2-1)^2/4 + y^2/2000" --lr 0.2 --rtol 1e-2')
    assert found["kind"] == "relaxation" and len(found["masses"]) == 2
    assert found["rate"] == pytest.approx(1e-3, rel=1e-2)
    assert abs(found["relaxation"]["direction"][1]) == pytest.approx(1, abs=1e-6)
    assert found["variance_inside_wells"] > 0.99 and "no passage between the 2 wells" in says(found)


def test_a_flat_bottom_has_no_curvature(explained):
    found = explained('"x^4" --lr 0.1')
    assert "where f is flat at the bottom" in says(found) and "no Eyring-Kramers law" in found["why"]["law"]
    assert found["if_halved"]["spectral_factor"] == pytest.approx(math.sqrt(0.5), rel=1e-5)  # rates grow like s^(1/2)


def test_a_continuous_spectrum_has_no_mode(here_alone, explained):
    found = explained('"abs(x)" --lr 0.3 --rtol 0.1')
    assert found["kind"] == "continuous" and found["rate"] == pytest.approx(1 / 0.6, rel=1e-2)
    assert found["routes"]["spectral"]["continuous"] and found["limiting"] is None
    assert "the spectrum is continuous" in says(found) and "exchange" not in says(found)


# ------------------------------------------------------------------------------------------------ what is shown


def test_simulated_paths_are_asked_for(explained, monkeypatch):
    law = witten.eyring_kramers("double-well", 0.1)
    monkeypatch.setattr("witten.explanation.asked.simulate_rate", lambda f, s, **how: law)
    found = explained("double-well --lr 0.1 --simulate")
    assert found["routes"]["simulated"]["rate"] == law.rates[0] and "simulated" not in found["why"]


def test_text_page_and_file_say_the_same(tmp_path, capsys):
    places = ("--report", str(tmp_path / "why.html"), "-o", str(tmp_path / "why.nc"))
    done = cli("explain", "double-well:tilt=0.1", "--lr", "0.1", *places)
    assert (done.returncode, done.stderr) == (0, ""), done
    page = (tmp_path / "why.html").read_text()
    for words in ("wells exchange mass: well 0 at (-1.04668)", "Half and twice the learning rate", "Saddle"):
        assert words in done.stdout and words in page
    assert "not asked for" in done.stdout
    assert page.count("<svg") == 2
    with xarray.open_dataset(tmp_path / "why.nc") as saved:
        assert saved.attrs["witten_kind"] == "explanation" and "wells exchange mass" in saved.attrs["words"]
        top = int(saved["height"].values.argmax())
        assert saved["point"].values[0, top] == pytest.approx(0.101031, abs=1e-3)
        assert saved["committor"].values[top] == pytest.approx(0.5118, abs=2e-3)
        assert np.exp(saved["log_mass"].values).sum() == pytest.approx(1)
    with pytest.raises(SystemExit) as leaving:
        main(["plot", str(tmp_path / "why.nc")])
    assert leaving.value.code == 0 and (tmp_path / "why.png").exists() and "drawn in" in capsys.readouterr().out


def test_every_part_that_is_missing_says_why():
    found = witten.explain("quadratic:dim=5", 0.1)
    assert found.kind == "relaxation"
    assert "tends to the smallest curvature at the bottom, 1," in " ".join(in_words(found))
    assert {"spectral", "law", "passage", "simulated"} <= set(found.why) and all(found.why.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("double-well", "--lr", "0.1,0.2"), "takes one learning rate"),
        (("double-well", "--lr", "0"), "must be positive"),
        (("double-well", "--lr", "0.1", "--report", "why.pdf"), "ends in .html"),
        (("log(1+x^2)", "--lr", "0.1"), "no spectral gap at any learning rate"),
        (("x^2", "--lr", "0.1", "--periodic", "x=0:1"), "is not periodic"),
    ],
)
def test_a_wrong_request_is_refused_in_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["explain", *arguments])
    out, err = capsys.readouterr()
    assert (leaving.value.code, out, err.count("\n")) == (2, "", 1) and words in err


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1.29098(5)e+02", "129.098(5)"),
        ("4(3)e-02", "0.04(3)"),
        ("5.7(3)e+09", "5.7(3)e+09"),
        ("1.3(2)e+03", "1.3(2)e+03"),
        ("unknown", "unknown"),
        ("2.00e+00", "2.00"),
    ],
)
def test_numbers_to_read(text, plain):
    assert readable(text) == plain
