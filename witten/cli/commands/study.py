"""`witten study`: a paper's experiments, expected against observed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from witten.cli import output_files
from witten.cli.errors import DISAGREEMENT
from witten.cli.options import base_command, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.errors import RequestError

if TYPE_CHECKING:
    from witten.studies.study import Study

EXAMPLES = base_command.examples(
    "witten study step-size-matters --quick",
    "witten study all --json",
    "witten study large-learning-rate --figures pictures",
    "witten study all --report studies.html",
    notes="Exit status 3 if an observation disagrees with what was expected.",
)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of a study, or all.", show_default=False)
]
Quick = Annotated[bool, typer.Option("--quick", help="Smaller experiments of the same kind, in seconds.")]
Figures = Annotated[
    Path | None, typer.Option("--figures", metavar="DIRECTORY", help="Draw the figures into this directory.")
]
Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE.html", help="Write one page that holds all: claims, verdicts, figures."),
]


def study(
    name: Name,
    quick: Quick = False,
    figures: Figures = None,
    report: Report = None,
    as_json: options.Json = False,
) -> int | None:
    """Run the experiments of a paper: what it claims beside what is observed."""
    from witten.studies.study import STUDIES, run

    output_files.check_report(report)
    if figures is not None and figures.exists() and not figures.is_dir():
        raise RequestError(f"--figures: {figures} is a file; give a directory")
    wanted = tuple(STUDIES) if name == "all" else (name,)
    done: list[Study] = []
    with progress_bar(len(wanted), "study") as advance:
        for each_name in wanted:
            done.append(run(each_name, quick=quick))
            advance(each_name)
    if as_json:
        print_json({"studies": [each.as_dict() for each in done]})
    else:
        for found in done:
            _show(found)
    if report is not None:
        from witten.report.studies import write_studies

        write_studies(done, report)
        if not as_json:
            print_line(f"reported in {report}")
    if figures is not None:
        for path in _draw(done, figures):
            if not as_json:
                print_line(f"drawn in {path}")
    return None if all(each.ok for each in done) else DISAGREEMENT


def _draw(studies: list[Study], directory: Path) -> list[Path]:
    """One picture for each figure, named after study and figure."""
    from witten.plots.style import check_plot, finished

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for each in studies:
        for figure in each.figures:
            paths.append(check_plot(directory / f"{each.name}-{figure.name}.png"))
            finished(figure.draw(), paths[-1])
    return paths


def _show(study: Study) -> None:
    """Every check in a line, and how many agree."""
    from witten.studies.study import words

    rows = [
        (check.what, words(check.expected), words(check.observed),
         "" if check.tolerance is None else f"{check.tolerance:.2g}", "ok" if check.ok else "DISAGREES")
        for check in study.checks
    ]  # fmt: skip
    print_table(study.title, ("claim", "expected", "observed", "tolerance", ""), rows, left=("claim", ""))
    agree = sum(check.ok for check in study.checks)
    print_line(f"{study.name}: {agree} of {len(study.checks)} agree")
