"""Pages that hold everything: escaped, well-formed, nothing from elsewhere; in a browser, narrow, wide and on paper."""

import json
import re
import xml.dom.minidom
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
from browser import Browser, needs_browser
from hypothesis import given
from hypothesis import strategies as st
from stand_ins import off_by

import witten
from witten.errors import RequestError
from witten.explanation import explain
from witten.objectives import Objective
from witten.plots import plot_landscape
from witten.plots.rates.validation import plot_validation
from witten.plots.style import new_figure
from witten.report import Facts, Figure, Row, Section, Table, Text, Verdict, check_page, page, picture
from witten.report.explanation import explanation_page
from witten.report.pages import formula
from witten.report.validation import validation_page, write_validation
from witten.validation import validate

NASTY = '<script>alert("x")</script> & <b>\'bold\'</b> ${} {{ 7*7 }}'
# The last point of the first figure is touched where it is drawn.
TOUCH = """(() => {
    const point = [...document.querySelector("svg").querySelectorAll("circle.point")].pop();
    point.scrollIntoView({block: "center", inline: "center"});
    const box = point.getBoundingClientRect();
    const touched = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    touched.dispatchEvent(new Event("click", {bubbles: true}));
    const words = point.querySelector("title").textContent;
    return [touched === point, point.closest("figure").querySelector("output").textContent === words];
})()"""
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def embedded(text):
    """The JSON of all links that hold it."""
    links = [each for each in Reader(text).addresses if each.startswith("data:application/json;base64,")]
    return [json.loads(b64decode(each.partition(",")[2])) for each in links]


class Reader(HTMLParser):
    """What is on a page: its text, and every attribute by which it could ask for something."""

    def __init__(self, text):
        super().__init__()
        self.text, self.addresses, self.tags, self.ids = "", [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)

    def handle_data(self, data):
        self.text += data


def every_block():
    drawing = picture(plot_landscape(witten.describe_landscape("double-well")))
    return [
        Text(NASTY),
        Verdict(True, NASTY),
        Verdict(None, "open"),
        Facts({NASTY: NASTY}),
        Table(("s", NASTY), [("1", NASTY), Row(("2", "bad"), False)], NASTY, words=(NASTY,)),
        Figure(drawing, NASTY, wide=True),
        Figure(drawing, "again"),
    ]


@pytest.fixture(scope="module")
def whole_page():
    sections = [Section(NASTY, every_block()), Section("Two", [Text("2")]), Section("", [Text("3")])]
    return page(NASTY, sections, lead=NASTY)


@pytest.fixture(scope="module")
def found():
    """A validation with everything: theory left out, a disagreement, and a name that means harm."""
    f = Objective.from_formula("(x^2-1)^2/4 + x/20", name=f"well {NASTY}")
    return validate(f, (0.02, 0.06, 0.1, 0.2), monte_carlo=lambda g, s: off_by(0.9 if s == 0.1 else 0.0)(g, s))


@pytest.fixture(scope="module")
def report(found):
    return validation_page(found)


@pytest.fixture(scope="module")
def why():
    return explanation_page(explain(Objective.from_formula("(x^2-1)^2/4 + x/20", name=f"well {NASTY}"), 0.1))


def test_text_is_escaped_everywhere(whole_page):
    assert "<script>alert" not in whole_page and "<b>" not in whole_page
    read = Reader(whole_page)
    assert read.text.count(NASTY) == 13 and read.tags.count("script") == 1


@given(st.text(max_size=60))
def test_any_text_comes_through(text):
    shown = Reader(page("t", [Section("s", [Text(f"[{text}]")])])).text
    clean = text.replace("\r\n", "\n").replace("\r", "\n")
    assert f"[{text}]" in shown or f"[{clean}]" in shown


@pytest.mark.parametrize("which", ["whole_page", "report", "why"])
def test_nothing_is_asked_for_from_elsewhere(which, request):
    text = request.getfixturevalue(which)
    read = Reader(text)
    assert all(address.startswith(("#", "data:")) for address in read.addresses)
    assert {"link", "img", "iframe", "object", "base"} & set(read.tags) <= {"link"}
    assert set(re.findall(r"https?://[^\s\"'<)]+", text)) <= NAMESPACES
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


@pytest.mark.parametrize("which", ["whole_page", "report", "why"])
def test_pages_are_well_formed(which, request):
    text = request.getfixturevalue(which)
    without = re.sub(r"<!DOCTYPE html>|<script>.*</script>", "", text, flags=re.DOTALL)
    xml.dom.minidom.parseString(without)


def test_the_names_in_two_figures_are_never_the_same(report):
    ids = Reader(report).ids
    assert len(ids) > 100 and len(set(ids)) == len(ids)
    assert {name[1:] for name in Reader(report).addresses if name.startswith("#")} <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", report)) <= set(ids)


def test_the_report_holds_what_a_supplement_would(report, found):
    text = Reader(report).text
    assert report.count("<svg") == 4
    for words in ("Verdict", "Numbers", "Barrier", "Modes", "disagree", "Seed", "numpy", "Confining", "H_f"):
        assert words in text
    for c in found.records:
        assert f"{c.learning_rate:.6g}" in text
    assert "Monte Carlo/spectral = 2.46" in text
    assert 'class="verdict bad"' in report and '<tr class="bad">' in report


def test_a_report_of_one_well_in_four_dimensions(tmp_path):
    """No theory, no spectral rate, no picture of the objective, no modes: still a page."""
    coupled = "x1^2 + x2^2 + x3^2 + x4^2 + x1^2*x2^2 + x2^2*x3^2 + x3^2*x4^2"
    wells = validate(coupled, 0.1, monte_carlo=lambda f, s: off_by(0.0)(witten.gallery.quadratic(), s))
    write_validation(wells, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "grids and meshes end at three dimensions" in text and "one minimum" in text
    assert "Nothing could be compared" in text


def test_formulas_are_typeset_and_exponents_raised():
    shown = formula(Objective.from_formula("exp(-x^2)*abs(x-1/2) + pi*x^4/7"))
    xml.dom.minidom.parseString(f"<p>{shown}</p>")
    assert "<mfrac>" in shown and "π" in shown and "&" not in shown
    assert formula(Objective.from_callable(lambda x: x[0] ** 2, 1, name="a < b")) == "f = a &lt; b"
    text = page("t", [Section("s", [Text("like e^(-2f/(s σ²)), H_f of x_val, <b>")])])
    assert "e<sup>-2f/(s σ²)</sup>, H<sub>f</sub> of x_val, &lt;b&gt;" in text


def test_the_tables_are_in_the_page(report, whole_page):
    (table,), _ = embedded(whole_page)
    assert table["headings"] == ["s", NASTY] and table["rows"] == [["1", NASTY], ["2", "bad"]]
    assert 'download="tables.json"' in report and "download" not in page("t", [Section("s", [Text("no table")])])


def drawn_with_bars():
    """Three points with bars, one of them outside of the axes, beside a line that is interrupted and a guide."""
    figure, (axes, other) = new_figure(1, 2, (7.0, 3.0))
    axes.errorbar([1, 2, 9], [0.1, 0.01, 0.1], yerr=[[0.05, 0.001, 0.0], [0.2, 0.002, 0.0]], fmt="o", label="<a>")
    axes.plot([1, 1.5, 2], [0.02, np.nan, 0.05], label=r"$\lambda_{s}$")
    axes.axhline(0.03)
    axes.set(yscale="log", xlim=(0, 4), ylim=(1e-3, 1), xlabel=r"$1/s$", ylabel=r"rate $\lambda_s$", title="A & B")
    other.scatter([0.3, 0.6], [5.0, 7.0])
    return picture(figure)


def test_a_point_of_a_figure_tells_its_numbers():
    drawn = drawn_with_bars()
    line, bars, cloud = drawn.series
    assert (line.panel, line.label, line.x_label, line.y_label) == ("A & B", "λ_s", "1/s", "rate λ_s")
    assert bars.told(0) == "<a>: 1/s = 1, rate λ_s = 0.1, from 0.05 to 0.3"
    assert bars.told(1) == "<a>: 1/s = 2, rate λ_s = 0.01, from 0.009 to 0.012"
    assert [each.shown() for each in drawn.series] == [[0, 2], [0, 1], [0, 1]]
    assert cloud.told(1) == "x = 0.6, y = 7"
    xml.dom.minidom.parseString(drawn.svg)
    assert drawn.svg.count("<title>") == 6 and "<title>&lt;a&gt;: 1/s = 1" in drawn.svg


def test_what_tells_a_point_is_where_it_is_drawn():
    """matplotlib places its markers itself."""
    markers = set(re.findall(r'<use xlink:href="#\S+" x="(\S+)" y="(\S+)" style="fill', drawn_with_bars().svg))
    circles = re.findall(r'<circle cx="(\S+)" cy="(\S+)"', drawn_with_bars().svg)
    there = [min(abs(float(x) - float(u)) + abs(float(y) - float(v)) for u, v in circles) for x, y in markers]
    assert len(there) > 3 and sorted(there)[3] < 0.02


def test_the_points_of_figures_are_in_the_page(report, found):
    figures = embedded(report)[1]
    assert [figure["section"] for figure in figures] == ["Rates", "Rates", "Objective", "Modes"]
    (spectral,) = [each for each in figures[0]["series"] if each["label"] == "spectral"]
    known = [c.spectral for c in found.records]
    assert np.allclose(spectral["x"], [1 / record.learning_rate for record in known], rtol=1e-15)
    assert np.allclose(np.log(spectral["low"]), [record.lower for record in known], rtol=1e-12)
    assert np.allclose(np.log(spectral["high"]), [record.upper for record in known], rtol=1e-12)


def test_other_names_are_refused():
    with pytest.raises(RequestError, match="html"):
        check_page("page.txt")


def test_the_picture_of_a_validation(found, tmp_path):
    figure = plot_validation(found, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 20_000
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == [r"rate $\lambda_s$", "spectral / theory", "Monte Carlo / spectral"]
    low, high = figure.axes[1].get_ylim()
    assert low < 1 < high and high - low < 1.5


# ------------------------------------------------------------------------------------------------ in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@needs_browser
def test_the_report_in_a_browser(browser, report, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(report)
    for width in (400, 1280):
        browser.open(file.as_uri(), width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width, "the page itself must not scroll"
        drawn = browser.evaluate("[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect().height)")
        assert len(drawn) == 4 and min(drawn) > 100
        shown = "s.getBoundingClientRect().width / s.viewBox.baseVal.width"
        scale = browser.evaluate(f"[...document.querySelectorAll('svg')].map(s => {shown})")
        assert min(scale) * 8 >= 6, "letters of 8 points are at least 6 pixels high"
        sizes = "[...document.querySelectorAll('p, td, dd')].map(e => parseFloat(getComputedStyle(e).fontSize))"
        assert min(browser.evaluate(sizes)) >= 12
        assert browser.evaluate(TOUCH) == [True, True], "a point that is touched tells its numbers below the figure"
        assert browser.screenshot().startswith(b"\x89PNG")
    assert browser.complaints() == []
    assert {address.split(":")[0] for address in browser.requests()} <= {"file", "data"}
    assert [address for address in browser.requests() if address.startswith("file")] == [file.as_uri()] * 2


@needs_browser
def test_the_report_in_the_dark(browser, report, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(report)
    browser.open(file.as_uri(), 800)
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    light = browser.evaluate(colours)
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = browser.evaluate(colours)
    pictures = browser.evaluate("getComputedStyle(document.querySelector('.drawing svg')).filter")
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert light[0] == "rgb(255, 255, 255)" and dark[0] == "rgb(20, 24, 28)" and light[1] != dark[1]
    assert pictures.startswith("invert")


@needs_browser
def test_tables_can_be_copied(browser, whole_page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(whole_page)
    browser.open(file.as_uri(), 800)
    copied = browser.evaluate("""
        new Promise(done => {
          const write = text => { done(text); return Promise.resolve(); };
          Object.defineProperty(navigator, "clipboard", { value: { writeText: write } });
          document.querySelector("button.copy").click();
        })""")
    assert copied.split("\n") == [f"s\t{NASTY}", f"1\t{NASTY}", "2\tbad"]


@needs_browser
def test_the_report_on_paper(browser, report, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(report)
    browser.open(file.as_uri(), 1000)
    browser.call("Emulation.setEmulatedMedia", media="print")
    hidden = browser.evaluate("[...document.querySelectorAll('nav, button')].every(e => e.offsetParent === null)")
    printed = browser.call("Page.printToPDF", printBackground=True)["data"]
    browser.call("Emulation.setEmulatedMedia", media="")
    assert hidden and len(printed) > 20_000
