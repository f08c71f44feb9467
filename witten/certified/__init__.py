"""Bounds of the rate that are theorems: lower <= lambda_1 <= upper for one variable, in ball arithmetic.

From a formula and a learning rate, by Lehmann's method [Lehmann1949] in Arb [Johansson2017]. It shares no code with the
routes whose rates it certifies. Start with `certified_gap`, then `line_problem`; `lehmann` has the theorem."""

from witten.certified.certificate import Certificate
from witten.certified.certified_gap import certified_gap

__all__ = ["Certificate", "certified_gap"]
