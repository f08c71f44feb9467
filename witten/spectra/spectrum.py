"""The low end of a spectrum: eigenvalues, modes, error bars, and what is resolved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from witten.display import Displayed, Table, same, shortened
from witten.domains.grid import Grid
from witten.io.spectrum_dataset import spectrum_dataset
from witten.number_format import readable, with_log_error

if TYPE_CHECKING:
    import pandas
    import xarray

    from witten.domains.meshes.nodal_mesh import NodalMesh

__all__ = ["Spectrum"]

Array = NDArray[np.float64]
# A rate whose error bar is wider than this part of it is not resolved.
RESOLVED = 0.1


@dataclass(frozen=True, eq=False, repr=False)
class Spectrum(Displayed):
    """The k lowest eigenvalues at one learning rate s, ascending, the zero of the ground state first.

    >>> found = witten.spectrum("x^2/2", 0.1, 3)
    >>> found.modes.shape == (3, found.grid.n_nodes)
    True

    Attributes
    ----------
    learning_rate : s
    noise : sigma, the scale of the gradient noise: rates are those of the learning rate s sigma^2
    rates : lambda_j, eigenvalues of the generator -L, shape (k,); rates[0] = 0, rates[1] is the spectral gap
    errors : error bars: |true - rate| <= error, shape (k,)
    modes : u_j at the nodes of `grid`, unit norm in L2(mu_s), shape (k, n); u_0 = 1. A multiple eigenvalue fixes only
        the span of its modes.
    grid : the grid or the mesh that the modes live on
    objective : the objective's name
    solver : what solved it
    n_dofs : nodes of the finest grid
    seconds : wall time
    log_rates : natural logarithms of the rates, -inf for the zero: they hold what `rates`, which are doubles, cannot
    relative_errors : the error bars as parts of the rates, shape (k,); 0 for the zero
    modes_counted : how many eigenvalues, zero included, the inertia of a factorisation counts below a bound between two
        of those computed; as many as were found there. None where nothing was counted
    continuous : whether the last rate is the bottom of the continuous spectrum, no eigenvalue: its mode means nothing
    notes : what a reader should know, in words
    examined : how far f was looked at, in words; "" where nothing was left out
    exits : whether the boundary absorbs: the rates are those of leaving, rates[0] the exit rate, and no zero is there
    covariance : of noise that is not of one strength, as text; "" for others
    reversible : whether there is detailed balance; else the rates are real parts
    imaginary : imaginary parts of the eigenvalues of -L, shape (k,)
    potential : F at the nodes, shape (n,), where the stationary density is e^{-2F/s} for another F than f; None where
        it is f's
    log_contraction, contraction_error : logarithm of the gap of (L + L*)/2, at which L2(mu_s) contracts from the start
        on, and its relative error, where there is no detailed balance; nan where there is, or it is not known
    heights : f at the nodes, shape (n,), with which `plot` and `to_dataset` show the modes over it; None where
        matrices alone were given
    """

    picture: ClassVar[str] = "plot_spectrum"

    learning_rate: float
    rates: NDArray[np.float64]
    errors: NDArray[np.float64]
    modes: NDArray[np.float64]
    grid: Grid | NodalMesh
    objective: str
    solver: str
    n_dofs: int
    seconds: float
    noise: float = 1.0
    log_rates: NDArray[np.float64] = field(default=None)  # type: ignore[arg-type]
    relative_errors: NDArray[np.float64] = field(default=None)  # type: ignore[arg-type]
    modes_counted: int | None = None
    continuous: bool = False
    notes: tuple[str, ...] = ()
    examined: str = ""
    exits: bool = False
    covariance: str = ""
    reversible: bool = True
    imaginary: NDArray[np.float64] = field(default=None)  # type: ignore[arg-type]
    potential: NDArray[np.float64] | None = None
    log_contraction: float = np.nan
    contraction_error: float = np.nan
    heights: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        with np.errstate(divide="ignore", invalid="ignore"):
            missing = {
                "log_rates": lambda: np.log(self.rates),
                "imaginary": lambda: np.zeros(self.rates.shape),
                "relative_errors": lambda: np.where(self.errors > 0, self.errors / self.rates, 0.0),
            }
            for name, value in missing.items():
                if getattr(self, name) is None:
                    object.__setattr__(self, name, value())

    def __len__(self) -> int:
        return self.rates.size

    def __eq__(self, other: object) -> bool:
        return same(self, other) if isinstance(other, Spectrum) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.objective, self.learning_rate, self.n_dofs))

    @property
    def summary(self) -> str:
        """What a person wants to know, in a line."""
        told = ", ".join(self._number(k) for k in range(min(len(self), 4))) + (", ..." if len(self) > 4 else "")
        return f"{shortened(self.objective)}, s = {self.learning_rate:g}, {self.n_dofs} unknowns: rates {told}"

    def table(self) -> Table:
        """One row for each rate, the zero included."""
        rows = [(str(k), self._number(k), f"{self.relative_errors[k]:.1e}") for k in range(len(self))]
        low, high = self.rates - self.errors, self.rates + self.errors
        bars = np.column_stack([low, np.where(self.resolved, self.rates, np.nan), high]).tolist()
        return Table(("mode", "rate", "relative error"), rows, bars)

    def _number(self, k: int) -> str:
        if not self.resolved[k]:
            return "unresolved"
        if self.log_rates[k] == -np.inf:
            return "0"
        return readable(with_log_error(float(self.log_rates[k]), 0.0, float(self.relative_errors[k])))

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each rate; modes are in `to_dataset`."""
        import pandas

        names = ("rates", "errors", "log_rates", "relative_errors", "resolved", "eigenvalues")
        modes = pandas.RangeIndex(len(self), name="mode")
        return pandas.DataFrame({name: getattr(self, name) for name in names}, index=modes)

    def to_dataset(self, objective: Callable[[Array], Array] | None = None) -> xarray.Dataset:
        """Rates and modes as an xarray Dataset; with the objective f, the Gibbs density and the ground state too."""
        return spectrum_dataset(self, objective)

    @classmethod
    def above_zero(cls, log_rates: NDArray[np.float64], relative_errors: NDArray[np.float64], **rest: Any) -> Spectrum:
        """From the rates above the zero, as logarithms, and their relative errors; `rest` are the other attributes."""
        rates = np.exp(log_rates)
        return cls(
            rates=np.append(0.0, rates),
            errors=np.append(0.0, relative_errors * rates),
            log_rates=np.append(-np.inf, log_rates),
            relative_errors=np.append(0.0, relative_errors),
            **rest,
        )

    @property
    def eigenvalues(self) -> NDArray[np.float64]:
        """delta_j = 2 s sigma^2 lambda_j, the eigenvalues of the Witten-Laplacian."""
        return 2.0 * self.learning_rate * self.noise**2 * self.rates

    @property
    def resolved(self) -> NDArray[np.bool_]:
        """Whether the error bar is at most a tenth of the rate; the zero is known exactly."""
        resolved: NDArray[np.bool_] = self.relative_errors <= RESOLVED
        return resolved

    @property
    def multiplets(self) -> tuple[tuple[int, ...], ...]:
        """Runs of two or more rates whose error bars overlap: their modes are fixed only up to mixing."""
        with np.errstate(divide="ignore"):
            low = self.log_rates + np.log1p(-np.minimum(self.relative_errors, 1.0))
        high = self.log_rates + np.log1p(self.relative_errors)
        touch = low[1:] <= high[:-1]
        runs = np.split(np.arange(self.rates.size), np.flatnonzero(~touch) + 1)
        return tuple(tuple(run.tolist()) for run in runs if run.size > 1)

    @property
    def gap(self) -> float:
        """lambda_1; with an absorbing boundary the exit rate."""
        return float(self.rates[0 if self.exits else 1])
