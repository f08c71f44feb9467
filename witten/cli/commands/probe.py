"""`witten probe`: what can be said of a model at one of its points."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from witten.cli import options
from witten.cli.output import print_json, print_line, print_table, progress_bar
from witten.cli.streams import keep_output
from witten.errors import RequestError

if TYPE_CHECKING:
    from witten.models.gradient_noise import GradientNoise
    from witten.models.probe import Probe

EXAMPLES = options.examples(
    "witten probe model.py:loss --lr 0.1 --x0 weights.npz",
    "witten probe model.py:loss --lr 0.1 --x0 0.3,-1.2,0.7 --json",
    notes="The file has loss(x) and loss_gradient(x) of one point of n numbers; loss_hessian(x), and of the samples "
    "loss_per_sample(x), N numbers, or loss_gradients(x), N x n, where known. Or an objective, from JAX for example.",
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
        metavar="X|FILE.npz",
        help="The point: numbers, or a checkpoint, whose arrays are flattened in the order of their names.",
        show_default=False,
    ),
]
Count = Annotated[str, typer.Option("-k", "--count", metavar="K", help="Number of eigenvalues of the Hessian.")]


def probe(
    loss: Loss,
    lr: options.LearningRate,
    x0: Point,
    count: Count = "5",
    seed: options.Seed = "0",
    as_json: options.Json = False,
) -> None:
    """A model at one of its points: sharpness against 2/s, the top of the Hessian, the noise of the gradient."""
    s, many = options.parse_learning_rate(lr), options.whole("--count", count, 1)
    number = options.whole("--seed", seed, 0)
    point = _point(x0)
    f, known = _loss(loss)
    from witten.models.probe import probe as examine

    with progress_bar(1, f"{loss}: products with the Hessian, gradients of samples"):
        found = examine(f, point, s, count=many, seed=number, name=loss, **known)
    if as_json:
        print_json({"objective": loss, **_json(found)})
    else:
        _show(loss, found)


def _point(text: str) -> Any:
    """A checkpoint, or numbers as everywhere."""
    from witten.models.checkpoint import read_checkpoint

    if text.endswith(".npz") or os.path.exists(text):
        return read_checkpoint(Path(text))
    return options.parse_point(text, text.count(",") + 1, "--x0")


def _loss(text: str) -> tuple[Any, dict[str, Any]]:
    """What the user's file has of the loss, by the names of `witten.probe`."""
    from witten.objectives.resolve import beside, from_file, is_file

    if not is_file(text):
        raise RequestError(f"{text[:60]!r} is no FILE.py:LOSS, a function or objective in a file of your own")
    keep_output()
    f = from_file(text, Callable, "loss", "it must be a function of one point, or an objective")
    found = beside(text, "gradient", "hessian", "per_sample", "gradients")
    return f, {
        "gradient": found["gradient"],
        "hessian": found["hessian"],
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
        "noise": None if noise is None else _noise(noise),
        "noise_scale": None if noise is None else noise.scale,
        "notes": found.notes,
    }


def _noise(noise: GradientNoise) -> dict[str, Any]:
    return {
        "trace": noise.trace,
        "ci": noise.trace_interval,
        "along": noise.along,
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
            ("noise along the sharpest", f"{noise.along:.6g}"),
            ("noise scale", f"{noise.scale:.6g} samples, 95 % {_interval(noise.scale_interval)}"),
        ]
    title = f"{loss} at a point of {found.parameters} parameters, s = {found.learning_rate:g}"
    print_table(title, ("what", "value"), rows, left=("what", "value"))
    for note in found.notes:
        print_line(f"note: {note}")


def _bounded(value: float, error: float) -> str:
    return f"{value:.8g} ± {error:.1g}"


def _interval(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{low:.4g} to {high:.4g}" if np.isfinite(high) else f"{low:.4g} or more"
