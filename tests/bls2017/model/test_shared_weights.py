"""What is cut out of a graph and put back is the same graph."""

from __future__ import annotations

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

SHAPES = {"a/kernel": (5, 5, 6, 8), "b/kernel": (9, 9, 4, 3), "c": (24, 30)}


@pytest.fixture(scope="module")
def weights():
  rng = np.random.default_rng(0)
  return {
    name: rng.normal(size=shape).astype(np.float32)
    for name, shape in SHAPES.items()
  }


def _taps(cut):
  """The arrays and taps of a cut graph's pieces."""
  pieces = json.loads(cut.partition(b"\n")[0])
  return [(p["array"], p["taps"]) for p in pieces]


@pytest.mark.parametrize("half_precision", [False, True])
@pytest.mark.parametrize("half_graphs", [False, True])
def test_a_models_graphs_leave_their_weights_to_it(
  monkeypatch, half_precision, half_graphs
):
  model_config = config.ModelConfig(num_filters=24, num_latents=40)
  arrays = model_lib.BLS2017Model(model_config, seed=2).get_arrays()
  # Untrained norms are all alike.
  rng = np.random.default_rng(0)
  for name, array in arrays.items():
    if name.endswith("/gamma"):
      arrays[name] = array + rng.uniform(0, 0.01, array.shape).astype("f")
  if half_precision:
    arrays = {
      k: v.astype(np.float16) if k.endswith("kernel") else v
      for k, v in arrays.items()
    }
  if not half_graphs:
    monkeypatch.setattr(litert_graphs, "MAX_DECIBELS", -1)
  graphs = litert_graphs.convert(arrays, 40)
  shared = {
    "analysis": {"analysis/1/kernel", "analysis/2/kernel",
                 "analysis/2/gdn/gamma"},
    "synthesis": {"synthesis/0/kernel", "synthesis/1/kernel",
                  "synthesis/igdn_in/gamma"},
  }  # fmt: skip
  for name, graph in graphs.items():
    cut = shared_weights.cut(graph, arrays)
    assert shared_weights.splice(cut, arrays) == graph
    taps = _taps(cut)
    assert shared[name] <= {array for array, _ in taps}
    if name == "synthesis":
      # All phases of both stages.
      assert sum(array.endswith("/kernel") for array, _ in taps) == 8
    needed = sum(arrays[a].size for a in shared[name])
    assert len(cut) < len(graph) - (2 if half_graphs else 4) * needed


@laws.examples(100)
@given(
  order=st.lists(
    st.sampled_from(list(shared_weights._possible(
      {name: np.zeros(shape) for name, shape in SHAPES.items()}
    ))),
    max_size=6,
  ),
  fillers=st.lists(st.binary(max_size=9), min_size=7, max_size=7),
)  # fmt: skip
def test_splicing_inverts_cutting(weights, order, fillers):
  graph = fillers[0]
  for piece, filler in zip(order, fillers[1:]):
    graph += piece.content(weights).tobytes() + filler
  cut = shared_weights.cut(graph, weights)
  assert shared_weights.splice(cut, weights) == graph
  if order:
    assert _taps(cut)


@laws.examples(50)
@given(graph=st.binary(max_size=300))
def test_a_graph_may_share_nothing(weights, graph):
  cut = shared_weights.cut(graph, weights)
  assert cut == b"[]\n" + graph
  assert shared_weights.splice(cut, weights) == graph


def test_arrays_of_equal_numbers_are_told_apart():
  weights = {"a": np.zeros((32, 32)), "b": np.zeros((32, 32))}
  graph = bytes(2 * 4 * 32 * 32 + 5)
  cut = shared_weights.cut(graph, weights)
  assert shared_weights.splice(cut, weights) == graph


@pytest.mark.parametrize(
  "change",
  [
    {"at": 10**6}, {"at": -1}, {"at": "0"}, {"array": "d"}, {"array": []},
    {"taps": None, "axes": [0, 1]}, {"taps": [[0, 0], [0, 1]]}, {"taps": [1]},
    {"axes": [0, 0, 1, 2]}, {"axes": [0, 1, 2, 4]}, {"dtype": "<f8"},
    {"more": 1},
  ],
)  # fmt: skip
def test_a_damaged_list_is_refused(weights, change):
  piece = next(shared_weights._possible(weights))
  graph = b"before" + piece.content(weights).tobytes() + b"after"
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
  first, second = list(shared_weights._possible(weights))[:2]
  graph = first.content(weights).tobytes() + b"-"
  graph += second.content(weights).tobytes()
  header, _, left = shared_weights.cut(graph, weights).partition(b"\n")
  swapped = json.dumps(json.loads(header)[::-1]).encode()
  with pytest.raises(errors.ModelError):
    shared_weights.splice(swapped + b"\n" + left, weights)
