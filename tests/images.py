"""Pictures for tests."""

from bls2017.commands.photograph import photograph

__all__ = ["photograph"]
