from __future__ import annotations

import dataclasses
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from bls2017 import errors
from bls2017.commands import config_flags
from bls2017.common import config


@dataclasses.dataclass(frozen=True)
class Picture:
  artist: str | None = config.setting(None, "Who painted it.")
  colours: tuple[str, ...] = config.setting(("red", "blue"), "What with.")
  weights: tuple[float, ...] = config.setting((), "So many.", parse=float)
  material: str = config.setting("oil", "On it.", choices=("oil", "chalk"))
  depth: float | None = config.setting(0.5, "Metres.", positive=True)
  copies: int = config.setting(3, "How many.", at_least=1)
  framed: bool = config.setting(True, "Whether it has a frame.")
  owner: str = "nobody"

  def __post_init__(self) -> None:
    config.check(self)


config_flags.define(Picture)


def _read(*arguments: str, **others: str) -> Picture:
  with flagsaver.flagsaver():
    flags.FLAGS(["test", *arguments])
    return config_flags.read(Picture, **others)


def test_without_flags_a_configuration_is_the_default_one() -> None:
  assert _read() == Picture()


def test_flags_set_fields_of_every_type() -> None:
  picture = _read(
    "--artist=Anna", "--colours=green", "--weights=1,2.5", "--material=chalk",
    "--depth=2", "--copies=1", "--noframed", owner="Berta",
  )  # fmt: skip
  assert picture == Picture(
    "Anna", ("green",), (1.0, 2.5), "chalk", 2.0, 1, False, "Berta"
  )
  assert _read("--colours=").colours == ()


@pytest.mark.parametrize(
  ("flag", "message"),
  [
    ("--copies=0", "copies must be at least 1"),
    ("--depth=0", "depth must be positive"),
    ("--weights=1,x", "--weights: .*'x'"),
  ],
)
def test_values_out_of_bounds_are_usage_errors(flag: str, message: str) -> None:
  with pytest.raises(errors.UsageError, match=message):
    _read(flag)


def test_a_choice_that_there_is_not_is_refused_with_and_without_flags() -> None:
  with pytest.raises(flags.Error, match="material"):
    _read("--material=gold")
  with pytest.raises(errors.UsageError, match="material must be one of"):
    Picture(material="gold")


def test_flags_belong_to_the_module_that_defines_them() -> None:
  names = {
    flag.name
    for flag in flags.FLAGS.get_key_flags_for_module(sys.modules[__name__])
  }
  assert {"artist", "framed", "copies"} <= names
  assert "owner" not in flags.FLAGS
