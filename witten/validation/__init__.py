"""The routes side by side: `validate` asks all three, `Validation` says whether they agree."""

from witten.validation.comparison import Comparison, Judgement, Route, Validation, compare
from witten.validation.routes import validate
from witten.validation.verdict import ROUTES

__all__ = ["ROUTES", "Comparison", "Judgement", "Route", "Validation", "compare", "validate"]
