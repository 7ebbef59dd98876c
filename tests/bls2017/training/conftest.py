from __future__ import annotations

import pytest
import tensorflow as tf


@pytest.fixture
def eagerly():
  """Runs a few training steps sooner: tracing a step takes longer than them."""
  tf.config.run_functions_eagerly(True)
  yield
  tf.config.run_functions_eagerly(False)
