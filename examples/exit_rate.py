"""How long until it leaves a box?

Absorbing faces turn the lowest eigenvalue into an exit rate. As s falls it becomes
$f'(b)\\,(f''(a)/\\pi s)^{1/2}\\,e^{-2(f(b)-f(a))/s}$: here $b = 1$, $a = 0$, $f = x^2/2$, and both ends.
"""

import numpy as np

import witten

rates = np.geomspace(0.02, 0.2, 7)
curve = witten.gap("x^2/2", rates, box=[(-1, 1)], boundary="absorbing")
law = 2 * np.sqrt(1 / (np.pi * rates)) * np.exp(-1 / rates)
figure = curve.plot()
figure.axes[0].plot(1 / rates, law, ":", color="black", label="law of small s")
figure.axes[0].legend(frameon=False)
assert abs(curve.rates[0] / law[0] - 1) < 0.03
