"""Why the rate is what it is, at one learning rate: what the slowest mode does, from the answers of all routes.

From the spectrum on a grid (`spectral_view`, `basins`), critical points or a merge tree of f (`relief`), the law
(`by_law`), committors and minimum-energy paths (`passage`). Start with `explain` in `routes`, and `Explanation`, which
is what it returns; `words` says it."""

from witten.explanation.explanation import Change, Explanation, MeanTime, Mode, Passage, Relaxation, Well
from witten.explanation.routes import explain

__all__ = ["Change", "Explanation", "MeanTime", "Mode", "Passage", "Relaxation", "Well", "explain"]
