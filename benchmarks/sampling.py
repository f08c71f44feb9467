"""Claim: Euler-Maruyama costs little more than its random numbers, which cost less than NumPy's.

Path-steps per second of dX = -grad f dt + sqrt(s) dW on the double wells in one and two dimensions, from the same
starting points and with the same step: `witten` on one thread and on all, the generator's normals alone on as many,
NumPy with whole arrays of paths, and, where they are installed (extra `bench`), JAX's own loop, diffrax and torchsde on
the CPU. Everything is double precision, and in one process, in turns. The last column, the variance of x_1 at the end,
must be the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numba
import numpy as np
from measure import Seconds, interleaved, ratio, table

from witten.dynamics.paths.ensemble import Motion, Paths, in_threads
from witten.dynamics.paths.philox import LANES, fill_normals, words
from witten.dynamics.paths.schemes import WIDTH
from witten.objectives import gallery

S, DT = 0.2, 0.02
Job = Callable[[], Any]


@dataclass(frozen=True)
class Result:
    """One objective: seconds of every job, path-steps in each, and variances at the end."""

    name: str
    seconds: Seconds
    path_steps: int
    variances: dict[str, float]

    def ratio(self, name: str, reference: str) -> float:
        """How much longer `name` takes than `reference`."""
        return ratio(self.seconds, name, reference)


def main(quick: bool = False) -> list[Result]:
    paths, steps = (4096, 200) if quick else (16384, 2000)
    return [_measured(d, paths, steps, 1 if quick else 7) for d in (1, 2)]


def _measured(d: int, paths: int, steps: int, repeats: int) -> Result:
    ends: dict[str, np.ndarray] = {}
    jobs = {name: _keeping(ends, name, job) for name, job in _jobs(d, paths, steps).items()}
    seconds = interleaved(jobs, repeats)
    variances = {name: float(np.var(x)) for name, x in ends.items() if x is not None}
    result = Result(f"double-well:dim={d}", seconds, paths * steps, variances)
    rows = [
        (name, result.path_steps / float(np.median(taken)) * 1e-6, result.ratio(name, "witten, all threads"),
         result.ratio(name, "witten, one thread"), f"{variances[name]:.3f}" if name in variances else "")
        for name, taken in seconds.items()
    ]  # fmt: skip
    print(f"{result.name}: {paths} paths, {steps} steps, {numba.config.NUMBA_NUM_THREADS} threads")
    table(["", "million path-steps/s", "time / witten, all", "time / witten, one", "variance"], rows)
    return result


def _keeping(ends: dict[str, Any], name: str, job: Job) -> Job:
    def run() -> None:
        ends[name] = job()

    return run


def _jobs(d: int, paths: int, steps: int) -> dict[str, Job]:
    everything = numba.config.NUMBA_NUM_THREADS
    jobs = {
        "witten, all threads": lambda: _witten(d, paths, steps, everything),
        "witten, one thread": lambda: _witten(d, paths, steps, 1),
        "normals alone, all threads": lambda: _normals(d, paths, steps, everything),
        "normals alone, one thread": lambda: _normals(d, paths, steps, 1),
        "NumPy": lambda: _numpy(d, paths, steps),
    }
    if find_spec("jax"):
        jobs["JAX"] = _jax(d, paths, steps)
    if find_spec("diffrax"):
        jobs["diffrax"] = _diffrax(d, paths, steps)
    if find_spec("torchsde"):
        jobs["torchsde"] = _torchsde(d, paths, steps)
    return jobs


def _witten(d: int, paths: int, steps: int, threads: int) -> np.ndarray:
    numba.set_num_threads(threads)
    run = Paths(Motion(gallery.double_well(dim=d), S, DT), np.zeros((d, paths)))
    run.advance(steps)
    return run.x[0]


def _normals(d: int, paths: int, steps: int, threads: int) -> None:
    blocks = paths // WIDTH
    cuts = [blocks * part // threads for part in range(threads + 1)]
    seed = words(0, 0)
    in_threads(lambda a, b: _generate(*seed, a, b, d * steps // LANES), list(zip(cuts[:-1], cuts[1:], strict=True)))


@numba.njit(error_model="numpy", nogil=True)
def _generate(seed, stream, first, last, count):  # type: ignore[no-untyped-def]
    four, total = np.empty((LANES, WIDTH)), 0.0
    for block in range(first, last):
        for k in range(count):
            fill_normals(seed, stream, np.uint64(block * WIDTH), np.uint64(k), four)
            total += four[0, 0]
    return total


def _numpy(d: int, paths: int, steps: int) -> np.ndarray:
    random, a = np.random.default_rng(0), math.sqrt(S * DT)
    x, xi, g = np.zeros((d, paths)), np.empty((d, paths)), np.empty((d, paths))
    for _ in range(steps):
        random.standard_normal(out=xi)
        np.multiply(x[0], x[0], out=g[0])
        g[0] -= 1
        g[0] *= x[0]
        g[1:] = x[1:]
        g *= DT
        xi *= a
        x -= g
        x += xi
    return x[0]


def _slope(x: Any, stack: Callable[[list[Any]], Any]) -> Any:
    """grad f of a point (..., d)."""
    return stack([x[..., 0] * (x[..., 0] * x[..., 0] - 1), *(x[..., i] for i in range(1, x.shape[-1]))])


def _jax(d: int, paths: int, steps: int) -> Job:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    a = math.sqrt(S * DT)

    def step(x: Any, key: Any) -> Any:
        xi = jax.random.normal(key, x.shape, dtype=jnp.float64)
        return x - DT * _slope(x, lambda each: jnp.stack(each, axis=-1)) + a * xi, None

    @jax.jit
    def run(key: Any) -> Any:
        return jax.lax.scan(step, jnp.zeros((paths, d)), jax.random.split(key, steps))[0]

    return lambda: np.asarray(run(jax.random.PRNGKey(0)))[:, 0]


def _diffrax(d: int, paths: int, steps: int) -> Job:
    import diffrax
    import jax
    import jax.numpy as jnp
    import lineax

    jax.config.update("jax_enable_x64", True)
    identity = math.sqrt(S) * jnp.ones(d)

    def one(key: Any) -> Any:
        noise = diffrax.UnsafeBrownianPath(shape=(d,), key=key)
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda t, x, args: -_slope(x, lambda each: jnp.stack(each, axis=-1))),
            diffrax.ControlTerm(lambda t, x, args: lineax.DiagonalLinearOperator(identity), noise),
        )
        return diffrax.diffeqsolve(
            terms, diffrax.Euler(), 0.0, steps * DT, DT, jnp.zeros(d), max_steps=steps + 2,
            adjoint=diffrax.ForwardMode(), saveat=diffrax.SaveAt(t1=True),
        ).ys[0]  # fmt: skip

    run = jax.jit(jax.vmap(one))
    keys = jax.random.split(jax.random.PRNGKey(0), paths)
    return lambda: np.asarray(run(keys))[:, 0]


def _torchsde(d: int, paths: int, steps: int) -> Job:
    import torch
    import torchsde

    class Motion(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def f(self, t: Any, x: Any) -> Any:
            return -_slope(x, lambda each: torch.stack(each, dim=-1))

        def g(self, t: Any, x: Any) -> Any:
            return math.sqrt(S) * torch.ones_like(x)

    start = torch.zeros((paths, d), dtype=torch.float64)
    times = torch.tensor([0.0, steps * DT], dtype=torch.float64)

    def run() -> np.ndarray:
        with torch.no_grad():
            return torchsde.sdeint(Motion(), start, times, method="euler", dt=DT)[-1, :, 0].numpy()

    return run


if __name__ == "__main__":
    main()
