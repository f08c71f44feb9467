"""docs/references.bib holds what docstrings and documentation cite, and nothing else."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = (("witten", "*.py"), ("examples", "*.py"), ("docs", "*.md"))
PATHS = (*(path for folder, kind in FOLDERS for path in (ROOT / folder).rglob(kind)), ROOT / "README.md")
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in PATHS}
# [Bovier2004]: the first author without accents, and the year
CITED = {
    key: name for name, text in TEXTS.items() for key in re.findall(r"\[([A-Z][A-Za-z]*(?:19|20)\d\d[a-z]?)\]", text)
}
ENTRIES = re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", (ROOT / "docs" / "references.bib").read_text(), re.M | re.S)


def test_every_key_has_an_entry_and_every_entry_is_cited():
    keys = [key for key, _ in ENTRIES]
    assert len(set(keys)) == len(keys) > 50
    assert {key: name for key, name in CITED.items() if key not in keys} == {}, "cited there, without an entry"
    assert sorted(set(keys) - set(CITED)) == [], "cited nowhere"


def test_keys_are_first_authors_and_years():
    for key, fields in ENTRIES:
        name, year = re.search(r"(?:author|editor) *= \{(.*?), ", fields), re.search(r"year *= \{(\d+)\}", fields)
        assert name and year and re.search(r"title *= \{", fields), key
        plain = re.sub(r'\\"([aou])', r"\1e", name[1])  # umlauts, as in Schuette
        assert key == re.sub(r"[^A-Za-z]", "", plain) + year[1]


def test_nothing_is_cited_in_another_form():
    other = re.compile(r"[A-Z][a-z]+(?: et al\.)?,? \(?(?:19|20)\d\d[);:]|arXiv[ :]\d|et al\.")
    found = {name: other.findall(text) for name, text in TEXTS.items() if name != "README.md"}
    assert {name: what for name, what in found.items() if what} == {}
