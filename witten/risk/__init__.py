"""Excess risk along a schedule: by the distribution of SGD, by that of the SDE, by simulation.

    from witten.risk import excess_risk
    excess_risk("shi-su-jordan", "0.1:500,0.05:500", x0=(-0.9, 0.9)).excess_risk
"""

from witten.risk.bounds import Plateau, RiskBound, plateau, risk_bound
from witten.risk.excess_risk import METHODS, excess_risk
from witten.risk.idealised import IdealisedRisk
from witten.risk.planning.classical_schedules import classical_laws, classical_schedules
from witten.risk.planning.optimal_schedule import Plan, plan_schedule
from witten.risk.planning.sgd_risk import steps_against_learning_rate
from witten.risk.risk_curve import RiskCurve, crossing

__all__ = [
    "METHODS",
    "IdealisedRisk",
    "Plan",
    "Plateau",
    "RiskBound",
    "RiskCurve",
    "classical_laws",
    "classical_schedules",
    "crossing",
    "excess_risk",
    "plan_schedule",
    "plateau",
    "risk_bound",
    "steps_against_learning_rate",
]
