"""Measures the memory of this process."""

from __future__ import annotations

import pathlib
import re
import resource
from collections.abc import Callable

_PROCESS = pathlib.Path("/proc/self")


def growth(call: Callable[[], object]) -> int:
  """Bytes that a call takes at its peak beside what the process has."""
  # Makes the present resident size the peak.
  (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
  before = _peak()
  call()
  return _peak() - before


def _peak() -> int:
  status = (_PROCESS / "status").read_text(encoding="ascii")
  found = re.search(r"VmHWM:\s+(\d+) kB", status)
  assert found
  return 1024 * int(found[1])


def resident() -> int:
  """Bytes that this process holds."""
  pages = int((_PROCESS / "statm").read_text(encoding="ascii").split()[1])
  return pages * resource.getpagesize()
