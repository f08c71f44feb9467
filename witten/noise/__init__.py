"""The covariance of gradient noise, as a value: dX = -grad f dt + sqrt(s) Sigma^{1/2}(X) dW (Ito).

`models` says what there is: isotropic, constant, loss-proportional, formulas, minibatches of a finite sum; `makers`
make them. Bound to an objective each becomes a `Diffusion`, a matrix of formulas; `reversible` recognises those that
have a potential, which is then no longer f. Start at `models`.

>>> print(f"{witten.gap('double-well', 0.05, noise=witten.noise.formula('1 + tanh(2*x)/2')).rates[0]:.6e}")
1.634480e-04
"""

from witten.noise.diffusion import Covariance, Diffusion, require_positive_definite
from witten.noise.makers import constant, formula, isotropic, loss, minibatch, parse, with_drift
from witten.noise.models import Constant, Driven, Formula, Isotropic, Loss, Minibatch, Noise
from witten.noise.reversible import Reversible, reversible
from witten.noise.strength import parted

__all__ = [
    "Constant",
    "Covariance",
    "Diffusion",
    "Driven",
    "Formula",
    "Isotropic",
    "Loss",
    "Minibatch",
    "Noise",
    "Reversible",
    "constant",
    "formula",
    "isotropic",
    "loss",
    "minibatch",
    "parse",
    "parted",
    "require_positive_definite",
    "reversible",
    "with_drift",
]
