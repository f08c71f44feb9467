"""`witten probe`: what can be said of a model at one of its points."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from witten.cli.options import base_command, learning_rate_spec, option_numbers, option_values, options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.cli.streams import keep_output
from witten.errors import RequestError
from witten.number_format import readable, with_log_error

if TYPE_CHECKING:
    from witten.models.gradient_noise import GradientNoise
    from witten.models.probe import Probe
    from witten.models.transitions.passage import Passage
    from witten.models.transitions.stationary_points import Stationary

EXAMPLES = base_command.examples(
    "witten probe model.py:loss --lr 0.1 --x0 weights.npz",
    "witten probe model.py:loss --lr 0.1 --x0 one.npz --x1 other.npz --plot path.png",
    "witten probe model.py:loss --lr 0.1 --x0 0.3,-1.2,0.7 --json",
    notes="The file has loss(x) and loss_gradient(x) of one point of n numbers; loss_hessian(x) or loss_product(x, v), "
    "and of the samples loss_per_sample(x), N numbers, or loss_gradients(x), N x n, where known. Or an objective, from "
    "JAX or PyTorch for example.",
)

Loss = Annotated[
    str,
    typer.Argument(
        metavar="FILE.py:LOSS", help="Your own function of one point, or objective, in a file.", show_default=False
    ),
]
Point = Annotated[
    str,
    typer.Option(
        "--x0",
        metavar="X|FILE",
        help="The point: numbers, or a checkpoint (.npz, .safetensors, .pt), whose arrays are flattened in the order "
        "of their names, or in that of a PyTorch module.",
        show_default=False,
    ),
]
Other = Annotated[
    str | None,
    typer.Option(
        "--x1",
        metavar="X|FILE",
        help="Another point: a path to the minimum below it, over a saddle, from the minimum below --x0.",
    ),
]
Batch = Annotated[str, typer.Option("--batch", metavar="B", help="Samples of a step, for the escape rate.")]
Count = Annotated[str, typer.Option("-k", "--count", metavar="K", help="Number of eigenvalues of the Hessian.")]


def probe(
    loss: Loss,
    lr: options.LearningRate,
    x0: Point,
    x1: Other = None,
    batch: Batch = "1",
    count: Count = "5",
    seed: options.Seed = "0",
    plot: options.Plot = None,
    as_json: options.Json = False,
) -> None:
    """A model at a point: sharpness against 2/s, the Hessian, the noise of the gradient, a path to another."""
    s, many = learning_rate_spec.parse_learning_rate(lr), option_numbers.whole("--count", count, 1)
    number = option_numbers.whole("--seed", seed, 0)
    samples = option_numbers.whole("--batch", batch, 1)
    f, known = _loss(loss)
    shapes = getattr(f, "shapes", None)
    point, other = _point("--x0", x0, shapes), None if x1 is None else _point("--x1", x1, shapes)
    from witten.models.probe import probe as examine
    from witten.plots.style import check_place

    check_place(plot)
    with progress_bar(1, f"{loss}: products with the Hessian, gradients of samples"):
        found = examine(f, point, s, end=other, batch=samples, count=many, seed=number, name=loss, **known)
    if plot is not None:
        found.plot(plot)
    if as_json:
        print_json({"objective": loss, **_json(found), "plot": None if plot is None else str(plot)})
    else:
        _show(loss, found)


def _point(option: str, text: str, shapes: Any) -> Any:
    """A checkpoint, or numbers as everywhere."""
    from witten.models.checkpoint import read_checkpoint

    if text.endswith((".npz", ".safetensors", ".pt", ".pth")) or os.path.exists(text):
        return read_checkpoint(Path(text), shapes)
    return option_values.parse_point(text, text.count(",") + 1, option)


def _loss(text: str) -> tuple[Any, dict[str, Any]]:
    """What the user's file has of the loss, by the names of `witten.probe`."""
    from witten.objectives.resolve import beside, from_file, is_file

    if not is_file(text):
        raise RequestError(f"{text[:60]!r} is no FILE.py:LOSS, a function or objective in a file of your own")
    keep_output()
    f = from_file(text, Callable, "loss", "it must be a function of one point, or an objective")
    found = beside(text, "gradient", "hessian", "product", "per_sample", "gradients")
    return f, {
        "gradient": found["gradient"],
        "hessian": found["hessian"],
        "product": found["product"],
        "sample_losses": found["per_sample"],
        "sample_gradients": found["gradients"],
    }


def _json(found: Probe) -> dict[str, Any]:
    """The object that CLI users are promised."""
    spectrum, noise = found.spectrum, found.noise
    return {
        "learning_rate": found.learning_rate,
        "parameters": found.parameters,
        "loss": found.loss,
        "gradient_norm": found.gradient_norm,
        "sharpness": found.sharpness,
        "sharpness_error": found.sharpness_error,
        "sharpness_upper": spectrum.upper,
        "threshold": found.threshold,
        "stable": found.stable,
        "eigenvalues": [{"value": each.value, "error": each.error} for each in spectrum.largest],
        "negative_eigenvalues": spectrum.negative,
        "lanczos_steps": spectrum.steps,
        "products": found.products,
        "density": {"nodes": spectrum.nodes.tolist(), "weights": spectrum.weights.tolist()},
        "noise": None if noise is None else _noise(noise),
        "noise_scale": None if noise is None else noise.scale,
        "notes": found.notes,
        **({} if found.path is None else _path(found.path)),
    }


def _path(found: Passage) -> dict[str, Any]:
    path, law = found.transition, found.law
    points = {"minimum": path.start, "end": path.end, "saddle": path.saddle}
    return {
        "path": {
            "barrier_upper": path.barrier,
            "index": path.saddle.index,
            "index_complete": path.saddle.is_complete,
            "connects": path.connects,
            **{name: _stationary(point) for name, point in points.items()},
            "lower_saddles": [_stationary(point) for point in path.others],
            "saddle_noise": None if found.saddle_noise is None else _noise(found.saddle_noise),
            "unstable_noise": None if found.saddle_noise is None else found.saddle_noise.along[-1],
            "minimum_noise": None if found.minimum_noise is None else _noise(found.minimum_noise),
            "lengths": found.positions.tolist(),
            "losses": path.losses.tolist(),
            "sharpness_at": found.places.tolist(),
            "sharpness": found.sharpness.tolist(),
        },
        "law": None if law is None else asdict(law) | {"rate": math.exp(law.log_rate)},
        "why": found.why,
    }


def _stationary(point: Stationary) -> dict[str, Any]:
    largest, lowest = point.spectrum.largest[0], point.spectrum.lowest
    return {
        "loss": point.loss,
        "gradient_norm": point.gradient_norm,
        "lowest_curvature": {"value": lowest.value, "error": lowest.error},
        "sharpness": {"value": largest.value, "error": largest.error},
    }


def _noise(noise: GradientNoise) -> dict[str, Any]:
    return {
        "trace": noise.trace,
        "ci": noise.trace_interval,
        "top": noise.leading,
        "along": noise.along[0],
        "along_eigenvectors": noise.along,
        "scale_ci": noise.scale_interval,
        "samples": noise.samples,
    }


def _show(loss: str, found: Probe) -> None:
    spectrum, noise = found.spectrum, found.noise
    verdict = {True: "stable", False: "not stable", None: "not decided: 2/s lies within the bounds"}[found.stable]
    rows = [
        ("loss", f"{found.loss:.8g}"),
        ("|gradient|", f"{found.gradient_norm:.6g}"),
        ("sharpness", f"{_bounded(found.sharpness, found.sharpness_error)}, at most {spectrum.upper:.6g}"),
        ("2/s", f"{found.threshold:.8g}: {verdict}"),
        ("eigenvalues", ", ".join(_bounded(each.value, each.error) for each in spectrum.largest)),
        ("negative eigenvalues", f"{spectrum.negative} seen, in {spectrum.steps} dimensions of {found.parameters}"),
    ]
    if noise is not None:
        rows += [
            ("noise, trace", f"{noise.trace:.6g}, 95 % {_interval(noise.trace_interval)}"),
            ("noise along the sharpest", f"{noise.along[0]:.6g}"),
            ("noise, largest directions", ", ".join(f"{each:.4g}" for each in noise.leading) or "not known"),
            ("noise scale", f"{noise.scale:.6g} samples, 95 % {_interval(noise.scale_interval)}"),
        ]
    if found.path is not None:
        rows += _passage_rows(found.path)
    title = f"{loss} at a point of {found.parameters} parameters, s = {found.learning_rate:g}"
    print_table(title, ("what", "value"), rows, left=("what", "value"))
    for note in found.notes:
        print_line(f"note: {note}")


def _passage_rows(found: Passage) -> list[tuple[str, str]]:
    path, law = found.transition, found.law
    saddle, lowest = path.saddle, path.saddle.spectrum.lowest
    at_least = "" if saddle.is_complete else " at least"
    rows = [
        ("minima of the path", f"{path.start.loss:.8g}, {path.end.loss:.8g}"),
        ("barrier, at most", f"{path.barrier:.6g}" + ("" if path.connects else ", by the band: no saddle joins them")),
        ("highest saddle", f"{saddle.loss:.8g}, index {saddle.index}{at_least}, |gradient| {saddle.gradient_norm:.2g}"),
        ("curvature there", f"{_bounded(lowest.value, lowest.error)}, unstable"),
    ]
    if found.saddle_noise is not None:
        rows.append(("noise along it", f"{found.saddle_noise.along[-1]:.6g}"))
    if law is None:
        return [*rows, ("escape rate", f"none: {found.why}")]
    value = with_log_error(law.log_rate, law.log_error)
    return [*rows, ("escape rate", f"{readable(value)}, V = {law.action:.6g} ± {law.action_error:.1g}")]


def _bounded(value: float, error: float) -> str:
    return f"{value:.8g} ± {error:.1g}"


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{low:.4g} to {high:.4g}" if np.isfinite(high) else f"{low:.4g} or more"
