"""Steps a second with the orthonormal kernel parameter and with tfc's default.

    python -m tests.benchmarks.training_step [FILTERS LATENTS [ROUNDS]]

They take turns, so that whatever else the machine does meets both; prints both
medians and their ratio.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bls2017.common import config  # noqa: E402
from bls2017.evaluation.benchmark import timing, training  # noqa: E402


def main(filters: int = 128, latents: int = 320, rounds: int = 20) -> None:
  """Prints what was measured."""
  steps = training.steps(config.ModelConfig(filters, latents))
  medians = timing.interleaved(steps, rounds, warm_up=2)
  for name, seconds in medians.items():
    print(f"{name}: {1000 * seconds:.0f} ms, {1 / seconds:.2f} steps/s")
  ratio = medians["plain"] / medians["bls2017"]
  print(
    f"{filters} filters, {latents} latents: {ratio:.2f} times the steps/s"
    f" (medians of {rounds} interleaved rounds)"
  )


if __name__ == "__main__":
  main(*map(int, sys.argv[1:]))
