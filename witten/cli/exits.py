"""Ways out of wells under noise with a covariance, for programs and for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from witten.cli.output import print_table

if TYPE_CHECKING:
    from witten.landscape.laws.noisy_law import Exit


def json_of_exits(ways: Sequence[Exit]) -> list[dict[str, Any]]:
    """V and k of each way out."""
    return [
        {"minimum": way.minimum, "saddle": way.saddle, "into": way.into, "quasi_potential": way.action,
         "quasi_potential_error": way.path.error, "prefactor": math.exp(way.log_prefactor),
         "prefactor_error": math.exp(way.log_prefactor) * math.expm1(way.error)}
        for way in ways
    ]  # fmt: skip


def show_exits(ways: Sequence[Exit]) -> None:
    """The same as a table."""
    lines = [
        (f"{way.minimum}", f"{way.saddle}", f"{way.into}", f"{way.action:.7g}", f"{way.path.error:.1g}",
         f"{math.exp(way.log_prefactor):.4g}", f"{math.exp(way.log_prefactor) * math.expm1(way.error):.1g}")
        for way in ways
    ]  # fmt: skip
    columns = ("from minimum", "over saddle", "into", "V", "error", "prefactor", "error")
    print_table("ways out: k = prefactor exp(-V/s)", columns, lines)
