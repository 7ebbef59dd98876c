"""Runs commands whose options are absl's flags, as those of training are."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, NoReturn

from absl import flags
from absl.flags import argparse_flags

from bls2017 import errors


class _FlagsParser(argparse_flags.ArgumentParser):
  def error(self, message: str) -> NoReturn:
    raise errors.UsageError(message)


def run(
  command: ModuleType, arguments: list[str], described: dict[str, Any]
) -> int:
  """Parses the flags that a command's module defines, and runs it.

  Args:
    command: Has `run(arguments)`, which takes what is no flag of its.
    arguments: After the command's name.
    described: Arguments of argparse's parser.

  Raises:
    errors.UsageError: if a flag has no such value.
  """
  accepted = flags.FlagValues()
  for flag in flags.FLAGS.get_key_flags_for_module(command.__name__):
    accepted[flag.name] = flag
    # argparse_flags shows the flags of what absl takes for the program.
    accepted.register_key_flag_for_module(sys.argv[0], flag)
    if flag.default not in (None, "", False):
      flag.help += f" (default: {flag.default_as_str})"
  parser = _FlagsParser(inherited_absl_flags=accepted, **described)
  try:
    _, others = parser.parse_known_args(arguments)
  except flags.Error as e:
    raise errors.UsageError(str(e)) from e
  flags.FLAGS.mark_as_parsed()
  return int(command.run(others))
