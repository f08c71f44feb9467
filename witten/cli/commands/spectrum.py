"""`witten spectrum`: the lowest eigenvalues and their modes at one learning rate."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from witten import parallel
from witten.cli import output_files
from witten.cli.options import base_command, groups, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.errors import RequestError
from witten.number_format import scientific, with_log_error

if TYPE_CHECKING:
    from witten.forms.form_spectrum import FormSpectrum
    from witten.spectra.spectrum import Spectrum

EXAMPLES = base_command.examples(
    "witten spectrum mueller-brown --lr 0.2 -k 6",
    "witten spectrum triple-well --lr 0.1 -k 4 --modes modes.nc --plot modes.png",
    "witten spectrum mueller-brown --lr 0.2 -k 3 --modes modes.xdmf",
    "witten spectrum double-well --lr 0.1 -k 3 --json",
    "witten spectrum himmelblau --lr 0.1 --form 2 -k 3",
    "witten spectrum quadratic:dim=2 --lr 0.5 --form 1 --mesh meshes/annulus.msh --boundary relative",
)
FORM_BOUNDARIES = ("absolute", "relative")
MODES_SUFFIXES = (".nc", ".xdmf", ".bp")

Modes = Annotated[
    Path | None,
    typer.Option("--modes", metavar="FILE", help="Save the modes: .nc with the rates, .xdmf or .bp for ParaView."),
]
Count = Annotated[str, typer.Option("-k", metavar="K", help="Number of eigenvalues, the zero included.")]
Form = Annotated[str, typer.Option("--form", metavar="P", help="Degree of the differential forms, 0 (functions) to d.")]
Boundary = Annotated[
    str,
    typer.Option(
        "--boundary",
        metavar="reflecting|absorbing|absolute|relative",
        help="Boundary of the --box; for forms absolute (the default) or relative.",
    ),
]


def spectrum(
    objective: groups.Objective,
    lr: options.LearningRate,
    noise: groups.DriftingNoise,
    how: groups.Discretisation,
    k: Count = "6",
    boundary: Boundary = "reflecting",
    form: Form = "0",
    seed: options.Seed = "0",
    modes: Modes = None,
    output: options.Output = None,
    plot: options.Plot = None,
    as_json: options.Json = False,
) -> None:
    """The K lowest rates at one learning rate, the zero of the ground state included, and their modes."""
    learning_rate = learning_rate_spec.parse_learning_rate(lr)
    degree_of_forms = option_numbers.whole("--form", form, 0)
    if degree_of_forms or boundary in FORM_BOUNDARIES:
        given = {
            **noise.given, "--periodic": how.periodic, "--petsc": how.petsc,
            "--noise": None if noise.noise == "1" else noise.noise, "--seed": None if seed == "0" else seed,
        }  # fmt: skip
        _refuse_beside_forms({name: value for name, value in given.items() if value}, boundary)
        of_forms = {name: value for name, value in how.request.items() if name not in ("periodic", "petsc")}
        of_forms["boundary"] = boundary if boundary in FORM_BOUNDARIES else FORM_BOUNDARIES[0]
        count = option_numbers.whole("-k", k, 1)
        places = [path for path in (output, modes, plot) if path is not None]
        parallel.agree(parallel.world(), lambda: _check_places_of_forms(output, modes, plot))
        of_forms["modes"] = modes is not None or plot is not None
        f = objective.resolved()
        forms = _of_forms(f, learning_rate, degree_of_forms, count, of_forms)
        parallel.agree(parallel.world(), lambda: _keep_forms(forms, places, of_forms))
        if as_json:
            print_json(_json_of_forms(forms))
        else:
            _show_forms(forms, places)
        return
    request = how.request | {"noise": noise.parsed(), "boundary": option_values.parse_boundary(boundary)}
    option_numbers.whole("--seed", seed, 0)
    count = option_numbers.whole("-k", k, 1)
    files = [path for path in (output, modes) if path is not None]
    ranks = parallel.world()
    parallel.agree(ranks, lambda: _check_files(output, modes, plot))
    import witten

    f = objective.resolved()
    with progress_bar(1, objective.text):
        found = witten.spectrum(f, learning_rate, count, **request)
    if found.covariance:
        request["noise"] = found.covariance
    if files or plot is not None:
        parallel.agree(ranks, lambda: _keep(found, f, files, plot, request))
    if as_json:
        print_json(_json(found) | ({"periodic": request["periodic"]} if request["periodic"] else {}))
    else:
        _show(found, [*files, *([plot] if plot is not None else [])])


def _refuse_beside_forms(given: dict[str, Any], boundary: str) -> None:
    """Forms are computed in unit noise, in all of space, a box or a mesh."""
    if given:
        raise RequestError(f"{next(iter(given))} is not available for forms (--form above 0, or --boundary absolute or "
                           "relative); leave it out")  # fmt: skip
    if boundary not in (*FORM_BOUNDARIES, "reflecting"):
        raise RequestError(f"--boundary {boundary}: forms have an absolute or a relative boundary; use one of these")


def _check_places_of_forms(output: Path | None, modes: Path | None, plot: Path | None) -> None:
    """Refuse places that cannot be written before anything is computed."""
    from witten.forms.form_dataset import FORM_SPECTRUM
    from witten.io.netcdf import check_output
    from witten.plots.fields.paraview import check_fields

    for path, suffixes in ((output, (".nc",)), (modes, (".nc", ".xdmf"))):
        if path is not None and path.suffix.lower() not in suffixes:
            raise RequestError(f"cannot write {str(path)!r}: give a name that ends in {' or '.join(suffixes)}")
        if path is not None and path.suffix.lower() == ".nc":
            check_output(path, FORM_SPECTRUM)
        elif path is not None:
            check_fields(path)
    output_files.check_plot(plot)


def _of_forms(f: Any, learning_rate: float, form: int, k: int, request: dict[str, Any]) -> FormSpectrum:
    import witten

    with progress_bar(1, f.name):
        return witten.form_spectrum(f, learning_rate, form, k, **request)


def _keep_forms(found: FormSpectrum, places: list[Path], request: dict[str, Any]) -> None:
    """Save and draw."""
    from witten.forms.form_dataset import form_dataset, save_form_spectrum

    asked = {name: str(value) for name, value in request.items() if value is not None}
    for path in places:
        if path.suffix.lower() == ".nc":
            save_form_spectrum(found, path, options=asked)
            continue
        from witten.plots import plot_form_modes, save_form_modes

        show = save_form_modes if path.suffix.lower() == ".xdmf" else plot_form_modes
        show(form_dataset(found), path)


def _json_of_forms(found: FormSpectrum) -> dict[str, Any]:
    """Null is what is not resolved, or a rate that no double holds."""
    from witten.rates.record import SMALLEST

    known = found.resolved.tolist()
    columns = zip(found.rates.tolist(), found.log_rates.tolist(), known, strict=True)
    rates = [rate if ok and (rate >= SMALLEST or math.isinf(log)) else None for rate, log, ok in columns]
    errors = found.errors.tolist()
    logs = [log / math.log(10) if ok and not math.isinf(log) else None
            for log, ok in zip(found.log_rates.tolist(), known, strict=True)]  # fmt: skip
    return {
        "objective": found.objective,
        "learning_rate": found.learning_rate,
        "form": found.form,
        "method": found.method,
        "boundary": found.boundary,
        "rates": rates,
        "rate_errors": [error if rate is not None else None for error, rate in zip(errors, rates, strict=True)],
        "log10_rates": logs,
        "log10_law": [None if math.isnan(log) else log / math.log(10) for log in found.log_law.tolist()],
        "resolved": known,
        "betti": list(found.betti),
        "parts": [{"rate": rate, "partner_form": partner}
                  for rate, partner in zip(rates, found.partner_forms, strict=True)],
        "critical_points": None if found.critical_points is None else list(found.critical_points),
        "small_counted": found.small_counted,
        "morse_inequalities_hold": found.morse_inequalities_hold,
        "n_dofs": found.n_dofs,
    }  # fmt: skip


def _show_forms(found: FormSpectrum, places: list[Path]) -> None:
    shift = math.log(2.0 * found.learning_rate)
    columns = (found.log_rates, found.log_rates + shift, found.relative_errors, found.resolved)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    partners = ["" if partner is None else str(partner) for partner in found.partner_forms]
    law = ["" if math.isnan(log) else scientific(log, 4) for log in found.log_law.tolist()]
    columns_of_law = ("law, leading order",) if any(law) else ()
    print_table(
        f"{found.objective}: lowest rates of {found.form}-forms at learning rate {found.learning_rate:g}",
        ("mode", "rate", "Witten eigenvalue", "also of form", *columns_of_law),
        [(str(i), *_row(*row), partners[i], *((law[i],) if columns_of_law else ())) for i, row in enumerate(rows)],
    )
    print_line(f"Betti numbers {_listed(found.betti)} ({found.boundary} boundary)")
    if found.critical_points is not None:
        print_line(f"critical points of each index {_listed(found.critical_points)}")
    if found.small_counted is not None:
        print_line(f"exponentially small rates, zeros counted: {found.small_counted}")
    print_line(f"{found.n_dofs} unknowns, {found.seconds:.2f} s")
    for path in places:
        print_line(f"written {path}")


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


def _check_files(output: Path | None, modes: Path | None, plot: Path | None) -> None:
    """Refuse places that cannot be written before anything is computed."""
    from witten.io.netcdf import check_output
    from witten.io.spectrum_dataset import SPECTRUM

    if output is not None:
        check_output(output, SPECTRUM)
    if modes is not None:
        _check_modes(modes)
    output_files.check_plot(plot)


def _check_modes(path: Path) -> None:
    from witten.io.netcdf import check_output
    from witten.io.spectrum_dataset import SPECTRUM
    from witten.plots.fields.paraview import check_fields

    suffix = path.suffix.lower()
    if suffix not in MODES_SUFFIXES:
        raise RequestError(f"cannot write {str(path)!r}: give a name that ends in {', '.join(MODES_SUFFIXES)}")
    if suffix == ".nc":
        check_output(path, SPECTRUM)
    else:
        check_fields(path)


def _keep(found: Spectrum, objective: Any, files: list[Path], plot: Path | None, request: dict[str, Any]) -> None:
    """Save and draw."""
    from witten.io.spectrum_dataset import save_spectrum, spectrum_dataset
    from witten.plots.fields.paraview import save_modes

    for path in files:
        save = save_spectrum if path.suffix.lower() == ".nc" else save_modes
        save(found, path, objective, options=request)
    if plot is not None:
        from witten.plots import plot_dataset

        plot_dataset(spectrum_dataset(found, objective, options=request), plot)


def _json(found: Spectrum) -> dict[str, Any]:
    """The object that CLI users are promised; null is what is not resolved, and a rate that no double holds."""
    from witten.rates.record import SMALLEST

    known = found.resolved.tolist()
    logs = found.log_rates.tolist()
    sized = zip(found.rates.tolist(), logs, known, strict=True)
    doubles = [ok and (rate >= SMALLEST or math.isinf(log)) for rate, log, ok in sized]
    return {
        "learning_rate": found.learning_rate,
        "form": 0,
        "rates": [rate if ok else None for rate, ok in zip(found.rates.tolist(), doubles, strict=True)],
        "rate_errors": [error if ok else None for error, ok in zip(found.errors.tolist(), doubles, strict=True)],
        "log10_rates": [log / math.log(10) if ok else None for log, ok in zip(logs, known, strict=True)],
        "resolved": known,
        "n_dofs": found.n_dofs,
        **(_under_noise(found) if found.covariance else {}),
        **({"quantity": "exit rates", "boundary": "absorbing"} if found.exits else {}),
    }


def _under_noise(found: Spectrum) -> dict[str, Any]:
    """What noise with a covariance adds."""
    parts = zip(found.rates.tolist(), found.imaginary.tolist(), found.resolved.tolist(), strict=True)
    eigenvalues = [[real, imaginary] if known else None for real, imaginary, known in parts]
    return {"noise": found.covariance, "reversible": found.reversible, "eigenvalues": eigenvalues}


def _show(found: Spectrum, files: list[Path]) -> None:
    log_eigenvalues = found.log_rates + math.log(2.0 * found.learning_rate * found.noise**2)
    columns = (found.log_rates, log_eigenvalues, found.relative_errors, found.resolved)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    print_table(
        f"{found.objective}: {'exit' if found.exits else 'lowest'} rates at learning rate {found.learning_rate:g}",
        ("mode", "rate", "Witten eigenvalue"),
        [(str(mode), *_row(*row)) for mode, row in enumerate(rows)],
    )
    if found.imaginary.any():
        print_line("imaginary parts: " + ", ".join(f"{each:.6g}" for each in found.imaginary))
    for run in found.multiplets:
        print_line(f"rates {run[0]} to {run[-1]} agree within their bars: only the span of their modes is fixed")
    print_line(f"{found.solver}, {found.n_dofs} unknowns, {found.seconds:.2f} s")
    for path in files:
        print_line(f"written {path}")


def _row(log_rate: float, log_eigenvalue: float, relative: float, resolved: bool) -> tuple[str, str]:
    """Rate and eigenvalue with their errors, as far as they are known, from their logarithms."""
    if math.isinf(log_rate):
        return "0", "0"
    if not resolved:
        return f"unresolved (below {scientific(log_rate + math.log1p(relative), 2)})", ""
    return with_log_error(log_rate, 0.0, relative), with_log_error(log_eigenvalue, 0.0, relative)
