"""Flags made from the settings of a configuration, and the values they got.

`define` makes a flag of every field that `config.setting` describes; its type,
default, help and choices are the field's. `read` builds the configuration. A
tuple is written with commas; its elements are what the field's `parse` makes of
the texts between them.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Callable, TypeVar

from absl import flags

from bls2017 import errors

Config = TypeVar("Config")

_DEFINE: dict[str, Callable[..., Any]] = {
  "str": flags.DEFINE_string,
  "int": flags.DEFINE_integer,
  "float": flags.DEFINE_float,
  "bool": flags.DEFINE_bool,
}

# The flags belong to the module that calls `define`.
flags.disclaim_key_flags()


def define(config_class: type) -> None:
  """Defines a flag for every setting of a dataclass."""
  for field in _settings(config_class):
    default: Any = field.default
    about, choices = field.metadata["description"], field.metadata["choices"]
    if _is_tuple(field):
      texts = [str(value) for value in default or ()]
      flags.DEFINE_list(field.name, texts or None, about)
    elif choices:
      flags.DEFINE_enum(field.name, default, choices, about)
    else:
      _DEFINE[_kind(field)](field.name, default, about)


def read(config_class: type[Config], **others: Any) -> Config:
  """A configuration from its flags.

  Args:
    config_class: As it was given to `define`.
    **others: Fields that are no settings.

  Raises:
    errors.UsageError: if the configuration does not hold such values.
  """
  values = {field.name: _value(field) for field in _settings(config_class)}
  return config_class(**values, **others)


def _settings(config_class: Any) -> list[dataclasses.Field[Any]]:
  fields = dataclasses.fields(config_class)
  return [field for field in fields if "description" in field.metadata]


def _kind(field: dataclasses.Field[Any]) -> str:
  """The field's type as it is written, without the None it may be as well."""
  return str(field.type).removesuffix(" | None")


def _is_tuple(field: dataclasses.Field[Any]) -> bool:
  return _kind(field).startswith("tuple[")


def _value(field: dataclasses.Field[Any]) -> Any:
  value = flags.FLAGS[field.name].value
  if not _is_tuple(field):
    return value
  if value is None:
    return field.default
  try:
    return tuple(map(field.metadata["parse"], value))
  except ValueError as e:
    raise errors.UsageError(f"--{field.name}: {e}") from e
