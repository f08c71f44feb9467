"""A PyTorch module with a criterion and data as functions of one point, its parameters in a row: value, gradient,
Hessian-vector products and the gradients of the samples, by `torch.func`, in float64 and on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from witten.errors import RequestError

__all__ = ["TorchLoss"]

Array = NDArray[np.float64]
# Numbers of a chunk of samples' gradients: 64 MB.
MOST_NUMBERS = 2**23


class TorchLoss:
    """f(x) = criterion(module(inputs), targets), x (n,) the module's parameters in the order of `named_parameters`.

    The module is copied, in float64, on the CPU and in evaluation mode (no dropout, norms of batches as they are). What
    a sample has is the criterion of it alone, so that their mean is f where the criterion is a mean.

    Parameters
    ----------
    module : a torch.nn.Module
    criterion : (outputs, targets) -> a number
    inputs, targets : tensors or arrays of N samples

    Raises
    ------
    RequestError
        if PyTorch is not there, there are no parameters, or inputs and targets are not as many; where it is called,
        of a point of another length.
    """

    def __init__(self, module: Any, criterion: Callable[[Any, Any], Any], inputs: Any, targets: Any) -> None:
        try:
            import torch
        except ImportError:
            raise RequestError("a PyTorch loss needs the package torch; install witten[torch]") from None
        self._module = copy.deepcopy(module).to(device="cpu", dtype=torch.float64).eval()
        self._criterion = criterion
        self._inputs, self._targets = _tensor(inputs), _tensor(targets)
        if len(self._inputs) != len(self._targets):
            raise RequestError(f"there are {len(self._inputs)} inputs and {len(self._targets)} targets")
        self._shapes = {name: each.shape for name, each in self._module.named_parameters()}
        self.start = np.concatenate(
            [each.detach().numpy().ravel() for _, each in self._module.named_parameters()] or [np.empty(0)]
        )
        if not self.start.size:
            raise RequestError("the PyTorch module has no parameters")
        self.__name__ = type(module).__name__

    @property
    def parameters(self) -> int:
        """n."""
        return int(self.start.size)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parameters, by name and in order."""
        return {name: tuple(shape) for name, shape in self._shapes.items()}

    def __call__(self, x: Array) -> float:
        """f(x)."""
        return float(self._value(self._point(x)))

    def gradient(self, x: Array) -> Array:
        """grad f(x), (n,)."""
        import torch

        return np.asarray(torch.func.grad(self._value)(self._point(x)).numpy())

    def hessian(self, x: Array) -> Array:
        """Hess f(x), (n, n)."""
        return np.array([self.product(x, e) for e in np.eye(self.parameters)])

    def product(self, x: Array, v: Array) -> Array:
        """Hess f(x) v, (n,), the gradient of grad f . v."""
        import torch

        direction, slope = self._point(v), torch.func.grad(self._value)
        return np.asarray(torch.func.grad(lambda point: slope(point) @ direction)(self._point(x)).numpy())

    def sample_gradients(self, x: Array) -> Array:
        """grad f_i(x) of each sample, (N, n), in chunks of bounded memory."""
        import torch

        each = torch.func.vmap(torch.func.grad(self._of_sample), in_dims=(None, 0, 0))
        many, point = max(MOST_NUMBERS // self.parameters, 1), self._point(x)
        parts = [
            each(point, self._inputs[k : k + many], self._targets[k : k + many]).numpy()
            for k in range(0, len(self._inputs), many)
        ]
        return np.concatenate(parts)

    def _point(self, x: Array) -> Any:
        import torch

        if np.shape(x) != (self.parameters,):
            raise RequestError(f"the module has {self.parameters} parameters, the point the shape {np.shape(x)}")
        return torch.from_numpy(np.array(x, dtype=float))

    def _value(self, point: Any) -> Any:
        return self._loss(point, self._inputs, self._targets)

    def _of_sample(self, point: Any, one: Any, target: Any) -> Any:
        return self._loss(point, one[None], target[None])

    def _loss(self, point: Any, inputs: Any, targets: Any) -> Any:
        import torch

        sizes = [shape.numel() for shape in self._shapes.values()]
        parts = zip(self._shapes.items(), torch.split(point, sizes), strict=True)
        weights = {name: part.reshape(shape) for (name, shape), part in parts}
        return self._criterion(torch.func.functional_call(self._module, weights, (inputs,)), targets)


def _tensor(data: Any) -> Any:
    """As a tensor on the CPU, in float64 if it is of floating point."""
    import torch

    tensor = torch.as_tensor(data).detach().cpu()
    return tensor.double() if tensor.is_floating_point() else tensor
