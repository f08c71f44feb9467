"""Objectives: a formula with its derivatives, a gallery of named ones, and the text forms a user may give."""

from witten.objectives.objective import CallableObjective, Objective
from witten.objectives.resolve import resolve

__all__ = ["CallableObjective", "Objective", "resolve"]
