"""Pictures for tests."""

from bls2017.evaluation.benchmark.photograph import photograph

__all__ = ["photograph"]
