"""The first minute of the README, run as it stands there."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_the_first_minute_in_python():
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    names: dict[str, object] = {}
    exec(compile(block, str(README), "exec"), names)
    curve = names["curve"]
    assert curve.resolved.all()
    assert (curve.lower <= curve.log_rates).all() and (curve.log_rates <= curve.upper).all()
    assert curve.fit_barrier().barrier == pytest.approx(0.25, abs=0.002)
