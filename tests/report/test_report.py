"""Pages that hold everything: escaped, well-formed, nothing from elsewhere; in a browser, narrow, wide and on paper."""

import json
import re
import xml.dom.minidom
from base64 import b64decode
from html.parser import HTMLParser

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
from witten.plots.validation import plot_validation
from witten.report import Facts, Figure, Row, Section, Table, Text, Verdict, check_page, page, picture
from witten.report.explanation import explanation_page
from witten.report.pages import formula
from witten.report.validation import validation_page, write_validation
from witten.validation import validate

NASTY = '<script>alert("x")</script> & <b>\'bold\'</b> ${} {{ 7*7 }}'
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


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
    text = page("t", [Section("s", [Text("like e^(-2f/(s σ²)), <b>")])])
    assert "e<sup>-2f/(s σ²)</sup>, &lt;b&gt;" in text


def test_the_tables_are_in_the_page(report, whole_page):
    (address,) = [each for each in Reader(whole_page).addresses if each.startswith("data:application/json;base64,")]
    (table,) = json.loads(b64decode(address.partition(",")[2]))
    assert table["headings"] == ["s", NASTY] and table["rows"] == [["1", NASTY], ["2", "bad"]]
    assert 'download="tables.json"' in report and "download" not in page("t", [Section("s", [Text("no table")])])


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
