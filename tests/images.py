"""Pictures for tests."""

from bls2017.benchmark.photograph import photograph

__all__ = ["photograph"]
