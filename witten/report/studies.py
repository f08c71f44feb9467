"""The page of studies: every claim of a paper beside what is observed, and the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from witten.report.drawings import picture
from witten.report.pages import (
    Block,
    Facts,
    Figure,
    Row,
    Section,
    Table,
    Text,
    Verdict,
    page,
    typeset,
    write_page,
)
from witten.studies.study import Study, words
from witten.version import __version__

__all__ = ["studies_page", "write_studies"]


def write_studies(studies: Sequence[Study], path: str | Path) -> None:
    """Write the page; errors as `write_page`."""
    write_page(path, studies_page(studies))


def studies_page(studies: Sequence[Study]) -> str:
    """The page as text; the figures are drawn for it."""
    agree, total = (sum(counts) for counts in zip(*map(_count, studies), strict=True))
    sections = [Section("Verdict", list(_verdict(studies)))]
    sections += [Section(study.title, list(_study(study))) for study in studies]
    made = Facts({"Made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "Version": f"witten {__version__}"})
    sections.append(Section("How it was made", [made]))
    title = "Papers on learning rates, expected against observed"
    return page(title, sections, lead=f"{agree} of {total} claims agree")


def _count(study: Study) -> tuple[int, int]:
    return sum(check.ok for check in study.checks), len(study.checks)


def _verdict(studies: Sequence[Study]) -> Iterator[Block]:
    for study in studies:
        agree, total = _count(study)
        yield Verdict(study.ok, f"{study.title}: {agree} of {total} claims agree.")
    yield Text(
        "Each claim is one sentence of the paper, made into an experiment. Expected is what the paper says or implies, "
        "observed what was computed; where numbers are compared, the tolerance is the largest difference that counts "
        "as agreement."
    )


def _study(study: Study) -> Iterator[Block]:
    for figure in study.figures:
        yield Figure(picture(figure.draw()), figure.caption, wide=True)
    rows = [
        Row(
            (typeset(check.what), words(check.expected), words(check.observed),
             "" if check.tolerance is None else f"{check.tolerance:.2g}", "yes" if check.ok else "no"),
            None if check.ok else False,
        )
        for check in study.checks
    ]  # fmt: skip
    headings = ("claim", "expected", "observed", "tolerance", "agree")
    yield Table(headings, rows, f"Claims of {study.title}", words=("claim",))
