"""Claim: gradient descent on a scalar objective takes well over 200 million steps a second on two cores; a picture of
4096^2 basins takes less than a minute.

The map z' = z + a z (1 - z^2) is iterated from many starts by `DescentMap.iterate` (one thread and all), which derives
and compiles the loop from the formula, by a loop over NumPy arrays, and by JAX (jit, fori_loop, doubles, all threads)
where it is installed; all give the same numbers. The picture is that of Liang and Montufar, (0.5 - xy)^2/2 +
(x^2 + y^2)/10 at learning rate 1; beside it NumPy and JAX run as many steps of the same map without looking for
cycles, so that they do less.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numba
import numpy as np
from measure import interleaved, table
from numpy.typing import NDArray

from witten.descent.basins import basins
from witten.descent.gradient_map import DescentMap
from witten.objectives.losses.factorisation import balanced_line, scalar_factorisation

A = 1.2
BOX = ((-4.013, 3.987), (-3.991, 4.009))


@dataclass(frozen=True)
class Result:
    """Steps per second of the scalar map by name, the largest difference between the results, and the picture.

    steps_per_second : by name
    difference : largest, from the loop of NumPy
    cells, seconds : of the picture, per side and altogether
    mean_steps : a start took before it was judged
    converged : share of starts that end at a minimum
    """

    steps_per_second: dict[str, float]
    difference: float
    cells: int
    seconds: float
    mean_steps: float
    converged: float


def numpy_loop(x: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    for _ in range(steps):
        x = x - A * x * (x * x - 1.0)
    return x


def jax_loop() -> Callable[[NDArray[np.float64], int], NDArray[np.float64]] | None:
    """The same loop compiled by JAX, in double precision; None where it is not installed."""
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)

    @partial(jax.jit, static_argnums=1)
    def loop(x, steps):
        return jax.lax.fori_loop(0, steps, lambda _, y: y - A * y * (y * y - 1.0), x)

    return lambda x, steps: np.asarray(loop(x, steps))


def main(quick: bool = False) -> Result:
    n, steps = (1 << 14, 200) if quick else (1 << 16, 4000)
    start = np.random.default_rng(0).uniform(-1.2, 1.2, n)
    descent = DescentMap(balanced_line(), A)
    threads = numba.config.NUMBA_NUM_THREADS
    jobs: dict[str, Callable[[], NDArray[np.float64]]] = {}
    for count in sorted({1, threads}):
        jobs[f"witten, {count} thread{'s' * (count > 1)}"] = partial(_ours, descent, start, steps, count)
    jobs["NumPy loop"] = partial(numpy_loop, start, steps)
    jax = jax_loop()
    if jax is None:
        print("JAX is not installed (pip install jax): left out\n")
    else:
        jobs["JAX"] = partial(jax, start, steps)
    reference = numpy_loop(start, 50)
    others = [_ours(descent, start, 50, threads), *([] if jax is None else [jax(start, 50)])]
    # Chaos doubles rounding errors at every few steps: numbers are compared after 50.
    difference = max(float(abs(x - reference).max()) for x in others)
    seconds = interleaved(jobs, 2 if quick else 5)
    speed = {name: n * steps / float(np.median(times)) for name, times in seconds.items()}
    table(["scalar map", "million steps/s"], [(name, 1e-6 * each) for name, each in speed.items()])
    print("wanted: at least 200 million steps per second on two threads")
    print(f"largest difference after 50 steps: {difference:.1e}\n")
    return _picture(512 if quick else 4096, speed, difference)


def _ours(descent: DescentMap, x: NDArray[np.float64], steps: int, threads: int) -> NDArray[np.float64]:
    numba.set_num_threads(threads)
    return descent.iterate(x[None], steps)[0]


def _picture(cells: int, speed: dict[str, float], difference: float) -> Result:
    objective = scalar_factorisation(0.5, ridge=0.2)
    basins(objective, 1.0, BOX, (64, 64))  # compiled
    began = time.perf_counter()
    found = basins(objective, 1.0, BOX, (cells, cells))
    seconds, mean = time.perf_counter() - began, float(found.steps.mean())
    rows = [(f"witten, {cells} x {cells}, {mean:.1f} steps each", seconds)]
    rows.append(("NumPy, as many steps, no search for cycles", _plain_picture(cells, round(mean))))
    table(["picture of basins", "seconds"], rows)
    print("wanted: 4096 x 4096 in less than 60 s")
    return Result(speed, difference, cells, seconds, mean, float(np.mean(found.period == 1)))


def _plain_picture(cells: int, steps: int) -> float:
    """Seconds of a NumPy loop on all starts at once."""
    u, v = (a + (np.arange(cells) + 0.5) * (b - a) / cells for a, b in BOX)
    x, y = np.meshgrid(u, v)
    began = time.perf_counter()
    with np.errstate(all="ignore"):
        for _ in range(steps):
            r = 0.5 - x * y
            x, y = 0.8 * x + r * y, 0.8 * y + r * x
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
