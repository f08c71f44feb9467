"""The routes side by side: `validate` asks all three, `Validation` says whether they agree; `validate_momentum` asks
them about SGD with momentum."""

from witten.validation.comparison import Route, Validation, compare
from witten.validation.judgement import ROUTES, Comparison, Judgement
from witten.validation.momentum import MomentumValidation, recursion_file, validate_momentum
from witten.validation.routes import validate

__all__ = ["ROUTES", "Comparison", "Judgement", "MomentumValidation", "Route", "Validation", "compare",
           "recursion_file", "validate", "validate_momentum"]  # fmt: skip
