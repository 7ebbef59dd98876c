"""Rooms import only rooms that stand before them; few import tfc.

Every import counts: those inside functions and under TYPE_CHECKING too.
"""

from __future__ import annotations

import ast
import pathlib

import pytest

from bls2017 import errors

ROOT = pathlib.Path(errors.__file__).parents[1]

LEVELS = (
  ("bls2017.errors",),
  ("bls2017.files",),
  ("bls2017.common",),
  ("bls2017.images", "bls2017.format"),
  ("bls2017.model",),
  ("bls2017.decode", "bls2017.encode"),
  ("bls2017.codec",),
  ("bls2017.training", "bls2017.pillow_plugin", "bls2017.many", "export"),
  ("bls2017.beam", "bls2017.pretrained.torch_training"),
  ("bls2017.evaluation",),
  ("bls2017.commands",),
  ("bls2017.__main__",),
)
"""Rooms of one level do not know each other."""

FACADE = "bls2017"
"""The package itself names `codec.Codec` for its users."""

TFC = "tensorflow_compression"
MAY_IMPORT_TFC = ("bls2017.training",)


def _modules() -> dict[str, pathlib.Path]:
  modules = {}
  for top in ("bls2017", "export"):
    for path in sorted((ROOT / top).rglob("*.py")):
      parts = path.relative_to(ROOT).with_suffix("").parts
      modules[".".join(p for p in parts if p != "__init__")] = path
  return modules


MODULES = _modules()


def _imports(path: pathlib.Path) -> set[str]:
  """Every module that a file imports, or could: `from a import b` is a.b."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
    if isinstance(node, ast.Import):
      names.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"{path} has a relative import"
      names.update(f"{node.module}.{alias.name}" for alias in node.names)
  return names


def _is_in(module: str, room: str) -> bool:
  return module == room or module.startswith(room + ".")


def _room(module: str) -> tuple[int, str] | None:
  """The level and the room of a module, None for those of other packages."""
  for level, rooms in enumerate(LEVELS):
    for room in rooms:
      if _is_in(module, room):
        return level, room
  return None


@pytest.mark.parametrize("module", [m for m in MODULES if m != FACADE])
def test_a_room_imports_only_what_stands_before_it(module):
  standing = _room(module)
  assert standing is not None, f"{module} has no level"
  level, room = standing
  for name in sorted(_imports(MODULES[module])):
    imported = _room(name)
    if imported is None or imported[1] == room:
      continue
    assert imported[0] < level, f"{module} imports {name}"


def test_the_package_itself_imports_only_what_it_offers():
  ours = {name for name in _imports(MODULES[FACADE]) if _room(name)}
  assert ours == {
    "bls2017.codec.Codec",
    "bls2017.codec.StreamInfo",
    "bls2017.errors",
    "bls2017.images.reading.read_rgb",
  }


@pytest.mark.parametrize("module", MODULES)
def test_only_a_few_rooms_import_tensorflow_compression(module):
  if not any(_is_in(module, allowed) for allowed in MAY_IMPORT_TFC):
    imports = _imports(MODULES[module])
    assert not any(_is_in(name, TFC) for name in imports)


def test_the_rooms_of_the_order_exist():
  for rooms in LEVELS:
    for room in rooms:
      assert room in MODULES
  for allowed in MAY_IMPORT_TFC:
    assert allowed in MODULES
