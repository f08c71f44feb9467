"""The routes side by side: `validate` asks all three, `Validation` says whether they agree; `validate_momentum` asks
them about SGD with momentum."""

from witten.validation.comparison import Comparison, Judgement, Route, Validation, compare
from witten.validation.momentum import MomentumValidation, validate_momentum
from witten.validation.routes import validate
from witten.validation.verdict import ROUTES

__all__ = ["ROUTES", "Comparison", "Judgement", "MomentumValidation", "Route", "Validation", "compare", "validate",
           "validate_momentum"]  # fmt: skip
