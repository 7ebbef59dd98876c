"""What `bls2017 --help` and `bls2017 help COMMAND` print, within 80 columns."""

from __future__ import annotations

import textwrap
from types import ModuleType

from absl import flags

_WIDTH = 79
_VALUES = {
  "int": "N",
  "float": "X",
  "size": "N",
  "region": "X,Y,W,H",
  "comma separated list of strings": "A,B",
}
"""What stands for a flag's value, by absl's name of its type."""


def overview(commands: dict[str, str]) -> str:
  """The list of commands.

  Args:
    commands: What each one does, by its name.
  """
  width = max(map(len, commands))
  rows = [f"  {name:{width}}  {what}" for name, what in commands.items()]
  usage = "usage: bls2017 COMMAND [FLAGS] ..."
  more = "bls2017 help COMMAND tells more, bls2017 --version the version."
  return "\n".join([usage, "", *rows, "", more])


def of_command(command: ModuleType) -> str:
  """Usage, description and flags of a command's module."""
  usage = [
    textwrap.fill(
      line,
      _WIDTH,
      initial_indent="       " if number else "usage: ",
      subsequent_indent=" " * 11,
      break_on_hyphens=False,
    )
    for number, line in enumerate(command.USAGE.splitlines())
  ]
  about = (command.__doc__ or "").strip()
  rows = [_flag_rows(name) for name in sorted(flag_names(command))]
  return "\n".join([*usage, "", about, "", "flags:", *rows])


def flag_names(command: ModuleType) -> set[str]:
  """Names of the flags that a command knows."""
  of_module = flags.FLAGS.get_key_flags_for_module(command.__name__)
  shared = getattr(command, "SHARED_FLAGS", ())
  return {*shared, *(flag.name for flag in of_module)}


def _flag_rows(name: str) -> str:
  flag = flags.FLAGS[name]
  # Absl ends the help of a flag that may be repeated with a remark.
  text, head = flag.help.split(";\n", 1)[0], f"--{name}"
  if flag.boolean:
    head = f"--[no]{name}"
  elif isinstance(flag.parser, flags.EnumParser):
    # Absl begins the help with the values.
    text = text.split(">: ", 1)[-1]
    head += "=" + "|".join(flag.parser.enum_values)
  else:
    head += "=" + _VALUES.get(flag.flag_type(), "...")
  if flag.short_name:
    head = f"-{flag.short_name}, {head}"
  default = flag.default
  if isinstance(default, list):
    default = ",".join(map(str, default))
  if default not in (None, "", False):
    text += f" (default: {default})"
  indent = " " * 6
  about = textwrap.fill(
    text, _WIDTH, initial_indent=indent, subsequent_indent=indent
  )
  return f"  {head}\n{about}"
