"""Why a large step that is decayed can generalise better than a small one: two quadratic losses, in closed form.

train = d^T A d, test = d^T B d, d = w - w*. Descent d+ = (1 - 2 s A) d and its flow d' = -2 A d decompose into the
modes of A: factors (1 - 2 s lambda_i)^k and e^{-2 lambda_i t}. The flow, like every step size below
1/(lambda_1 + lambda_n), ends along the mode that the sample sees least; after large steps s = 1/lambda_1, whose factor
is -1 on mode 1 and less on the others, it ends along the mode that the sample sees most. At equal train loss eps -> 0
the test losses are

    eps mu_n/lambda_n   and   eps mu_1/lambda_1,   mu_i = v_i^T B v_i,

so that a sample whose weights lambda are those of the population, mu, has nothing to gain [Nakkiran2020].

    from witten.annealing import anneal
    found = anneal()
    found.ratio, found.probability
"""

from witten.annealing.experiment import Annealing, Comparison, Outcome, anneal, compare, limit_ratio
from witten.annealing.losses import Losses
from witten.annealing.trajectory import Trajectory, follow

__all__ = ["Annealing", "Comparison", "Losses", "Outcome", "Trajectory", "anneal", "compare", "follow", "limit_ratio"]
