"""Options that go together: a command takes the group as one parameter, and the command line each of its fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, get_type_hints

from witten import parallel
from witten.cli import output_files
from witten.cli.options import option_values, options
from witten.cli.options.option_numbers import from_zero_to_one, positive, quoted
from witten.errors import RequestError

__all__ = ["Discretisation", "DriftingNoise", "Files", "Momentum", "Noise", "Objective", "Sweep", "flattened"]


def flattened(command: Callable[..., Any]) -> Callable[..., Any]:
    """A command that has the fields of its groups as parameters; those that have a default come last."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

    @wraps(command)
    def run(**given: Any) -> Any:
        packed = {name: kind(**{f.name: given.pop(f.name) for f in fields(kind)}) for name, kind in groups.items()}
        return command(**given, **packed)

    by_keyword, own, last = Parameter.KEYWORD_ONLY, list[Parameter](), list[Parameter]()
    for name, parameter in signature(command).parameters.items():
        if name not in groups:
            own.append(parameter.replace(kind=by_keyword, annotation=hints[name]))
            continue
        kinds = get_type_hints(groups[name], include_extras=True)
        for each in fields(groups[name]):
            if each.default is MISSING:
                own.append(Parameter(each.name, by_keyword, annotation=kinds[each.name]))
            else:
                last.append(Parameter(each.name, by_keyword, default=each.default, annotation=kinds[each.name]))
    run.__signature__ = signature(command).replace(parameters=[*own, *last])  # type: ignore[attr-defined]
    return run


@dataclass(frozen=True)
class Objective:
    """What is asked about."""

    objective: options.ObjectiveText
    param: options.Param = None
    center: options.Center = None
    scale: options.Scale = None

    @property
    def text(self) -> str:
        """`a*x^2` with --param a=0.3 is `a*x^2:a=0.3`, which is the same objective.

        Raises
        ------
        RequestError
            for what is no name=value.
        """
        given = self.param or []
        for each in given:
            if not re.fullmatch(r"\s*\w+\s*=[^=]+", each):
                raise RequestError(f"--param: cannot read {quoted(each)}; write name=value, as in a=0.3")
        path, suffix, rest = self.objective.rpartition(".py:")
        mark = "" if not given else "," if ":" in (rest if suffix else self.objective) else ":"
        return self.objective + mark + ",".join(each.strip() for each in given)

    def resolved(self) -> Any:
        """The objective that is meant, to be searched from a center where one is given."""
        return option_values.resolved(self.text, self.center, self.scale)


@dataclass(frozen=True)
class Noise:
    """Noise of one strength, or with a covariance."""

    noise: options.NoiseScale = "1"
    covariance: options.Covariance = None
    noise_model: options.NoiseModel = None

    def parsed(self) -> Any:
        """A number, or one of `witten.noise`; RequestError where several are given, and for what is none."""
        strength, covariance, model = positive("--noise", self.noise), self.covariance, self.noise_model
        if covariance is None and model is None:
            return strength
        if (covariance is not None) + (model is not None) + (strength != 1) > 1:
            raise RequestError("--noise, --covariance and --noise-model each say what the noise is: give one of them")
        from witten import noise
        from witten.objectives.resolve import from_file

        if covariance is not None:
            return noise.formula(covariance)
        if re.fullmatch(r".+\.py:[^:]*", model or ""):
            return from_file(str(model), noise.Noise, "noise model", "see witten.noise")
        return noise.parse(str(model))

    @property
    def given(self) -> dict[str, Any]:
        """The options that say more than a strength."""
        return {"--covariance": self.covariance, "--noise-model": self.noise_model}


@dataclass(frozen=True)
class DriftingNoise(Noise):
    """The same, with a drift added to -grad f."""

    drift: options.Drift = None

    def parsed(self) -> Any:
        noise = super().parsed()
        if self.drift is None:
            return noise
        from witten.noise import with_drift

        return with_drift(self.drift, noise)

    @property
    def given(self) -> dict[str, Any]:
        return super().given | {"--drift": self.drift}


@dataclass(frozen=True)
class Discretisation:
    """Where an operator is, of what it is made and who solves it."""

    method: options.Method = None
    rtol: options.Rtol = "1e-4"
    box: options.Box = None
    periodic: options.Periodic = None
    degree: options.Degree = None
    mesh: options.Mesh = None
    petsc: options.Petsc = None

    @property
    def request(self) -> dict[str, Any]:
        return {
            "rtol": positive("--rtol", self.rtol),
            "box": option_values.parse_box(self.box),
            "periodic": option_values.parse_periodic(self.periodic),
            "method": option_values.parse_method(self.method),
            "degree": option_values.parse_degree(self.degree),
            "mesh": self.mesh,
            "petsc": option_values.parse_petsc(self.petsc),
        }


@dataclass(frozen=True)
class Momentum:
    """Of SGD."""

    momentum: options.Momentum = None
    nesterov: options.Nesterov = False

    @property
    def alpha(self) -> float:
        """0 where left out; RequestError for none of [0, 1), and for --nesterov without it."""
        if self.momentum is None and self.nesterov:
            raise RequestError("--nesterov is a way to use --momentum: give that, too")
        return 0.0 if self.momentum is None else from_zero_to_one("--momentum", self.momentum)

    @property
    def request(self) -> dict[str, Any]:
        return {"momentum": self.alpha, "nesterov": self.nesterov}

    @property
    def said(self) -> dict[str, Any]:
        """What JSON says of it; refusals as of `alpha`."""
        request = self.request
        return {} if self.momentum is None else request


@dataclass(frozen=True)
class Files:
    """Where a command leaves what it found."""

    output: options.Output = None
    plot: options.Plot = None

    def check(self, kind: str) -> None:
        """Refuse places that cannot be written."""
        output_files.check_places(self.output, self.plot, kind=kind)

    def say(self, report: Path | None = None) -> None:
        """A line for each file that is there now."""
        output_files.say_where(self.output, self.plot, report)


@dataclass(frozen=True)
class Sweep(Files):
    """How a command over learning rates is saved, stopped and resumed."""

    resume: options.Resume = False
    walltime: options.Walltime = None

    def check(self, kind: str = output_files.RATE_CURVE) -> None:
        option_values.parse_walltime(self.walltime)
        parallel.agree(
            parallel.world(), lambda: output_files.check_places(self.output, self.plot, self.resume, kind=kind)
        )
