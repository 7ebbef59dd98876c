"""What is cut out of a graph and put back is the same graph."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bls2017 import errors
from bls2017.common import config
from bls2017.model import litert_graphs, shared_weights
from bls2017.training import model as model_lib
from tests import laws

SHAPES = {
  "a/kernel": (5, 5, 6, 8),
  "b/kernel": (9, 9, 4, 3),
  "c/gamma": (24, 30),
}
PIECES = [
  shared_weights.Piece(0, "c/gamma", None),
  *(
    shared_weights.Piece(0, name, ((0, 1), (0, 1)))
    for name in ("a/kernel", "b/kernel")
  ),
  *(
    shared_weights.Piece(0, "a/kernel", ((4 - p, -2), (4 - q, -2)))
    for p, q in itertools.product((0, 1), repeat=2)
  ),
]


@pytest.fixture(scope="module")
def weights():
  rng = np.random.default_rng(0)
  return {
    name: rng.normal(size=shape).astype(np.float16)
    for name, shape in SHAPES.items()
  }


def _pieces(cut):
  return json.loads(cut.partition(b"\n")[0])


@pytest.mark.parametrize("stored", [np.float16, np.float32])
def test_a_models_graphs_leave_their_weights_to_it(stored):
  model_config = config.ModelConfig(num_filters=24, num_latents=40)
  arrays = model_lib.BLS2017Model(model_config, seed=2).get_arrays()
  rng = np.random.default_rng(0)
  for name, array in arrays.items():
    if name.endswith("kernel"):
      arrays[name] = array.astype(stored)
    elif name.endswith("/gamma"):  # Untrained norms are all alike.
      arrays[name] = array + rng.uniform(0, 0.01, array.shape).astype("f")
  shared = {
    "analysis": {"analysis/1/kernel", "analysis/2/kernel",
                 "analysis/2/gdn/gamma"},
    "synthesis": {"synthesis/0/kernel", "synthesis/1/kernel",
                  "synthesis/igdn_in/gamma"},
  }  # fmt: skip
  for name, graph in litert_graphs.convert(arrays, 40).items():
    cut = shared_weights.cut(graph, arrays)
    assert shared_weights.splice(cut, arrays) == graph
    found = [piece["array"] for piece in _pieces(cut)]
    assert shared[name] <= set(found)
    if name == "synthesis":
      # All phases of both stages.
      assert sum(array.endswith("/kernel") for array in found) == 8
    assert len(cut) < len(graph) - 4 * sum(arrays[a].size for a in shared[name])


@laws.examples(100)
@given(
  order=st.lists(st.sampled_from(PIECES), max_size=6),
  fillers=st.lists(st.binary(max_size=9), min_size=7, max_size=7),
)
def test_splicing_inverts_cutting(weights, order, fillers):
  graph = fillers[0]
  for piece, filler in zip(order, fillers[1:]):
    graph += piece.content(weights).tobytes() + filler
  cut = shared_weights.cut(graph, weights)
  assert shared_weights.splice(cut, weights) == graph
  if order:
    assert _pieces(cut)


@laws.examples(50)
@given(graph=st.binary(max_size=300))
def test_a_graph_may_share_nothing(weights, graph):
  cut = shared_weights.cut(graph, weights)
  assert cut == b"[]\n" + graph
  assert shared_weights.splice(cut, weights) == graph


def test_arrays_of_equal_numbers_are_told_apart():
  zeros = np.zeros((32, 32))
  weights = {"a/gamma": zeros, "b/gamma": zeros}
  graph = bytes(2 * 4 * 32 * 32 + 5)
  cut = shared_weights.cut(graph, weights)
  assert shared_weights.splice(cut, weights) == graph


@pytest.mark.parametrize(
  "change",
  [
    {"at": 10**6}, {"at": -1}, {"at": "0"}, {"array": "d"}, {"array": []},
    {"array": "c/gamma"}, {"taps": [[0, 0], [0, 1]]}, {"taps": [1]},
    {"more": 1},
  ],
)  # fmt: skip
def test_a_damaged_list_is_refused(weights, change):
  graph = b"before" + PIECES[1].content(weights).tobytes() + b"after"
  header, _, left = shared_weights.cut(graph, weights).partition(b"\n")
  (values,) = json.loads(header)
  damaged = json.dumps([{**values, **change}]).encode() + b"\n" + left
  with pytest.raises(errors.ModelError, match="does not fit"):
    shared_weights.splice(damaged, weights)


@pytest.mark.parametrize("header", [b"", b"5", b"[5]", b"[{}]", b"\xff", b"{"])
def test_what_is_no_list_is_refused(weights, header):
  with pytest.raises(errors.ModelError):
    shared_weights.splice(header + b"\nleft", weights)


def test_pieces_out_of_order_are_refused(weights):
  first, second = (p.content(weights).tobytes() for p in PIECES[:2])
  graph = first + b"-" + second
  header, _, left = shared_weights.cut(graph, weights).partition(b"\n")
  swapped = json.dumps(json.loads(header)[::-1]).encode()
  with pytest.raises(errors.ModelError):
    shared_weights.splice(swapped + b"\n" + left, weights)
