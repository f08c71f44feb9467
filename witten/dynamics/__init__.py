"""The sampling route: simulated paths of dX = -grad f dt + sqrt(s) dW, and the rates that they show.

Start with `simulation`; `rate_estimate` chooses among `estimators` and `splitting` by the barriers, which
`equilibrium` knows, and `paths` simulates. `minibatch_rate` is for SGD on data.
"""
