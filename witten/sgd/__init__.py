"""SGD as it is run, a Markov chain in discrete time: one step as an operator on functions, and its spectrum.

Start with `transfer_spectrum`; `steps` discretises one step x+ = x - s (grad f(x) - xi) with the noise that
`gradient_noise` describes, on a domain that `chain_domain` finds; `chain` has the rate against the learning rate, and
`sde_comparison` puts it beside that of the SDE.
"""

from witten.sgd.gradient_noise import AtomicNoise, GaussianNoise, bounded_noise, minibatch_noise

__all__ = ["AtomicNoise", "GaussianNoise", "bounded_noise", "minibatch_noise"]
