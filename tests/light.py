"""Leaves out the tests of packages that are not installed.

    python -m pytest -p tests.light tests/bls2017

A plugin of pytest for Pythons without TensorFlow or other extras. It leaves out
modules that cannot be imported there, tests whose markers say that they need
one, and those of a model that is trained first. The summary
names all of them.
"""

from __future__ import annotations

import importlib
import pathlib

import pytest

from bls2017.common import packages

MARKERS = {
  "tensorflow": "tensorflow",
  "tfc": "tensorflow_compression",
  "evaluation": "bjontegaard",
}
EXTRAS = (
  "apache_beam", "matplotlib", "requests",
  "tensorflow_serving", *MARKERS.values(),
)  # fmt: skip

_left_out: set[str] = set()


def pytest_ignore_collect(
  collection_path: pathlib.Path, config: pytest.Config
) -> bool | None:
  """Ignores what cannot be imported without a missing extra.

  That is a module of tests, or a folder by its conftest.py.
  """
  path = collection_path.relative_to(config.rootpath)
  if (collection_path / "conftest.py").exists():
    path /= "conftest.py"
  if path.match("test_*.py") or path.match("conftest.py"):
    try:
      importlib.import_module(".".join(path.with_suffix("").parts))
    except Exception as e:
      # pytest meets other errors again, and reports them.
      if isinstance(e, ModuleNotFoundError) and e.name in EXTRAS:
        _left_out.add(f"{path} (no {e.name})")
        return True
  return None


def pytest_collection_modifyitems(
  config: pytest.Config, items: list[pytest.Item]
) -> None:
  """Deselects tests that need a missing extra."""
  missing = {m for m in MARKERS if not packages.is_installed(MARKERS[m])}
  needing = []
  for item in items:
    needs = {marker.name for marker in item.iter_markers()}
    if "tiny_model_dir" in getattr(item, "fixturenames", ()):
      needs.add("tfc")
    if needs & missing:
      needing.append(item)
      _left_out.add(item.nodeid.partition("[")[0])
  items[:] = [item for item in items if item not in needing]
  config.hook.pytest_deselected(items=needing)


def pytest_terminal_summary(
  terminalreporter: pytest.TerminalReporter,
) -> None:
  """Names what was left out."""
  terminalreporter.section("left out")
  terminalreporter.write_line("\n".join(sorted(_left_out)))
