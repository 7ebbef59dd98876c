"""Packages that not every installation has.

TensorFlow and tensorflow-compression in the versions that training needs exist
for Python 3.9 to 3.11. Coding needs neither.
"""

from __future__ import annotations

import importlib.util
import sys

from bls2017 import errors


def is_installed(module: str) -> bool:
  """Tells if a top-level module can be imported, without importing it."""
  return importlib.util.find_spec(module) is not None


def require(module: str, purpose: str, package: str) -> None:
  """Raises errors.MissingPackageError unless a module can be imported.

  Args:
    module: Its name.
    purpose: What needs it; begins the message.
    package: What brings it, as pip takes it.
  """
  if not is_installed(module):
    raise errors.MissingPackageError(
      f"{purpose} needs {package}, which is not installed"
    )


def require_tensorflow(purpose: str) -> None:
  """Raises errors.MissingPackageError unless there is TensorFlow."""
  require("tensorflow", purpose, "TensorFlow ('bls2017[export]')")


def require_training(purpose: str) -> None:
  """Raises errors.MissingPackageError where models cannot be trained.

  Args:
    purpose: What needs it; begins the message.
  """
  name = "tensorflow-compression ('bls2017[train]')"
  if sys.version_info >= (3, 12):
    name += ", for Python 3.9 to 3.11"
  require("tensorflow_compression", purpose, name)
