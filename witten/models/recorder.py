"""What a training loop may log of itself: sharpness against 2/s, noise and temperature, every so many steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from witten.display import Displayed
from witten.errors import RequestError
from witten.io import netcdf
from witten.models.gradient_noise import gradient_noise
from witten.models.hessian_products import hessian_product
from witten.models.hessian_spectrum import hessian_spectrum
from witten.models.model_loss import Function, ModelLoss
from witten.request import positive

if TYPE_CHECKING:
    import xarray

__all__ = ["Recorder", "TrainingRecord", "flat_parameters"]

Array = NDArray[np.float64]
KIND = "training-record"
# Steps of Lanczos at each look.
STEPS = 30
WORDS = {
    "steps": "step of the training loop",
    "learning_rates": "learning rate s",
    "losses": "loss f",
    "gradient_norms": "|grad f|",
    "sharpness": "largest Ritz value of Hess f, from below",
    "sharpness_errors": "distance of an eigenvalue from it, at most",
    "noise_traces": "trace of the covariance of one sample's gradient; nan where not known",
    "noise_scales": "that over |grad f|^2; nan where not known",
    "temperatures": "effective temperature s trace/(2 n batch); nan where not known",
}


@dataclass(frozen=True, eq=False, repr=False)
class TrainingRecord(netcdf.Saved, Displayed):
    """What was seen of a loss on the way of its training.

    >>> recorder = witten.Recorder(lambda w: w @ w, gradient=lambda w: 2 * w, name="a parabola")
    >>> recorder(0, np.ones(2), 0.5)
    >>> recorder.record
    <TrainingRecord a parabola: 1 looks up to step 0, sharpness 2, 2/s = 4>

    Attributes
    ----------
    name : of the loss
    steps : at which it was looked at, (m,)
    learning_rates : s there
    losses, gradient_norms : f, |grad f|
    sharpness, sharpness_errors : the largest Ritz value of Hess f, and how far an eigenvalue is from it at most
    noise_traces, noise_scales : tr Sigma, and tr Sigma/|grad f|^2; nan where nothing is known of samples
    temperatures : T = s tr Sigma/(2 n batch), the mean over directions of the temperature that dX = -grad f dt +
        sqrt(s Sigma/batch) dW has; nan likewise
    """

    kind: ClassVar[str] = KIND
    picture: ClassVar[str] = "plot_training"

    name: str
    steps: Array
    learning_rates: Array
    losses: Array
    gradient_norms: Array
    sharpness: Array
    sharpness_errors: Array
    noise_traces: Array
    noise_scales: Array
    temperatures: Array

    @property
    def thresholds(self) -> Array:
        """2/s, (m,)."""
        return 2 / self.learning_rates

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        if not self.steps.size:
            return f"{self.name}: nothing was logged"
        return (
            f"{self.name}: {self.steps.size} looks up to step {self.steps[-1]:g}, sharpness {self.sharpness[-1]:.6g}, "
            f"2/s = {self.thresholds[-1]:.6g}"
        )

    def to_dataset(self) -> xarray.Dataset:
        """The record as an xarray Dataset that describes itself."""
        import xarray

        columns = {name: ("look", getattr(self, name), netcdf.described(words)) for name, words in WORDS.items()}
        return xarray.Dataset(columns, attrs=netcdf.provenance(KIND, "Training, looked at", {"loss": self.name}))

    @classmethod
    def from_dataset(cls, dataset: xarray.Dataset) -> TrainingRecord:
        """The record that `to_dataset` described."""
        columns = {name: np.asarray(netcdf.column(dataset, name, ("look",)), dtype=float) for name in WORDS}
        netcdf.require(columns["learning_rates"] > 0, columns["steps"], "a learning rate is not positive")
        return cls(str(dataset.attrs["loss"]), **columns)


@dataclass(eq=False)
class Recorder:
    """Called in a training loop, it looks at the loss every `every` steps; `record` is what it saw.

    >>> recorder = witten.Recorder(lambda w: 2 * w @ w, gradient=lambda w: 4 * w, every=10)
    >>> w = np.ones(3)
    >>> for step in range(21):
    ...     recorder(step, w, 0.1)
    ...     w = w - 0.1 * 4 * w
    >>> recorder.record.sharpness.round(6).tolist()
    [4.0, 4.0, 4.0]

    Parameters
    ----------
    loss, gradient, hessian, product, sample_losses, sample_gradients, name : as in `probe`, functions of (n,)
    every : steps from one look to the next
    batch : samples of a step, of which the temperature is
    output : netCDF file, written anew after each look

    Raises
    ------
    RequestError
        where `probe` does, at the first look; and of parameters that are not those of the loss.
    """

    loss: Function
    gradient: Function | None = None
    hessian: Function | None = None
    product: Callable[[Array, Array], ArrayLike] | None = None
    sample_losses: Function | None = None
    sample_gradients: Function | None = None
    every: int = 100
    batch: int = 1
    output: str | Path | None = None
    name: str = "the loss"
    _rows: list[dict[str, float]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        for what in ("every", "batch"):
            if getattr(self, what) < 1:
                raise RequestError(f"{what} must be at least 1, got {getattr(self, what)}")
        if self.output is not None:
            netcdf.check_output(self.output, KIND)

    def __call__(self, step: int, parameters: Any, learning_rate: float) -> None:
        """Look, if it is time.

        Parameters
        ----------
        step : its number
        parameters : an array; a dict, list or tuple of such, dicts in the order of their names, as JAX takes them; or a
            PyTorch module, whose parameters are taken in its own order
        learning_rate : s of this step
        """
        if step % self.every:
            return
        s = positive("learning rate", learning_rate)
        self._rows.append(self._looked(float(step), flat_parameters(parameters), s))
        if self.output is not None:
            self.record.save(self.output)

    @property
    def record(self) -> TrainingRecord:
        """What was seen so far."""
        return TrainingRecord(self.name, **{name: np.array([row[name] for row in self._rows]) for name in WORDS})

    def _looked(self, step: float, x: Array, s: float) -> dict[str, float]:
        known = (self.gradient, self.hessian, self.product, self.sample_losses, self.sample_gradients)
        f = ModelLoss(self.loss, *known, self.name)
        if not self._rows:
            f.check(x)
        slope = f.slope(x)
        spectrum = hessian_spectrum(hessian_product(f, x)[0], x.size, count=1, steps=STEPS)
        top = spectrum.largest[0]
        noise = gradient_noise(f, x, slope, top.vector[None])
        trace = np.nan if noise is None else noise.trace
        return {
            "steps": step,
            "learning_rates": s,
            "losses": float(f.called("value", x)),
            "gradient_norms": float(np.linalg.norm(slope)),
            "sharpness": top.value,
            "sharpness_errors": top.error,
            "noise_traces": trace,
            "noise_scales": np.nan if noise is None else noise.scale,
            "temperatures": s * trace / (2 * x.size * self.batch),
        }


def flat_parameters(parameters: Any) -> Array:
    """Parameters as one vector (n,), in float64: see `Recorder`."""
    if hasattr(parameters, "named_parameters"):
        return flat_parameters([each for _, each in parameters.named_parameters()])
    if isinstance(parameters, Mapping):
        return flat_parameters([parameters[name] for name in sorted(parameters)])
    if isinstance(parameters, list | tuple):
        return np.concatenate([flat_parameters(each) for each in parameters] or [np.empty(0)])
    array = parameters.detach().cpu().numpy() if hasattr(parameters, "detach") else parameters
    return np.asarray(array, dtype=float).ravel()
