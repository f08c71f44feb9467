"""SGD as it is run, a Markov chain in discrete time: one step as an operator on functions, and its spectrum.

Start with `transfer_spectrum`; `transfer_operator` discretises one step x+ = x - s (grad f(x) - xi) with the noise
that `gradient_noise` describes, `collocation` the noise of finitely many values, and `sde_comparison` puts the rates
beside those of the SDE.
"""

from witten.sgd.gradient_noise import AtomicNoise, GaussianNoise, bounded_noise, minibatch_noise

__all__ = ["AtomicNoise", "GaussianNoise", "bounded_noise", "minibatch_noise"]
