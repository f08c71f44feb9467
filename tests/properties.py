"""How many examples a property is tried on."""

from hypothesis import settings


def examples(n):
    """Settings with n examples in a profile of 100 (conftest.py has the profiles), and in proportion in others."""
    return settings(max_examples=n * settings.default.max_examples // 100)
