"""How many examples Hypothesis tries.

    EXAMPLES=100000 python -m pytest tests/bls2017/test_range_coder.py

tries so many of each law instead of the few hundred of a test run, and every
size from 1x1 to 33x33 instead of some.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

LONG = "EXAMPLES" in os.environ


def examples(count: int) -> settings:
  """Settings for so many examples, the same in every run.

  Args:
    count: Unless the environment variable EXAMPLES asks for others.
  """
  return settings(
    max_examples=int(os.environ.get("EXAMPLES", count)),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
  )
