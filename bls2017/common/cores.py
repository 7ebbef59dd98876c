"""The number of cores that a process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator


def usable_cores(root: str = "/") -> int:
  """Counts the cores that this process may use, at least 1.

  They are those of its affinity, but no more than the CPU quota of its control
  group (version 1 or 2) and of the groups above it. Containers set that quota;
  a fraction of a core is cut off.

  Args:
    root: Where /proc and /sys are looked for.
  """
  if hasattr(os, "sched_getaffinity"):
    cores = len(os.sched_getaffinity(0))
  else:
    cores = os.cpu_count() or 1
  return max(1, min([cores, *_quotas(root)]))


def _quotas(root: str) -> Iterator[int]:
  for line in _text(root, "proc/self/cgroup").splitlines():
    _, controllers, group = line.split(":", 2)
    if controllers and "cpu" not in controllers.split(","):
      continue
    mount = "sys/fs/cgroup/cpu" if controllers else "sys/fs/cgroup"
    # A container may see its group as the root, or by a path of the host.
    parts = group.strip("/").split("/")
    for depth in range(len(parts) + 1):
      folder = os.path.join(mount, *parts[:depth])
      limit = _text(root, folder, "cpu.max").split() or [
        *_text(root, folder, "cpu.cfs_quota_us").split(),
        *_text(root, folder, "cpu.cfs_period_us").split(),
      ]
      # Without a limit, the first one is "max" or -1.
      if len(limit) == 2 and limit[0].isdigit():
        yield int(limit[0]) // int(limit[1])


def _text(*path: str) -> str:
  try:
    with open(os.path.join(*path), encoding="utf-8") as f:
      return f.read()
  except OSError:
    return ""
