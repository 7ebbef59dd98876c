from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bls2017 import errors
from bls2017.common import config
from bls2017.images import metrics
from bls2017.training import model as model_lib
from bls2017.training import transform_coder
from tests import conftest


@pytest.fixture(scope="module")
def patches():
  rows = [conftest.synthetic_photograph(i, 64, 64) for i in range(12)]
  return np.stack(rows)


def _started(patches, filters, latents, prior="activities"):
  model = model_lib.BLS2017Model(
    config.ModelConfig(filters, latents, (0.01, 0.1), prior)
  )
  transform_coder.initialise(model, patches, seed=0)
  return model


def _psnr(model, x):
  x_hat = model.synthesis(model.analysis(x.astype("f4")))
  return metrics.mse_to_psnr(float(np.mean((x_hat - x) ** 2)))


def test_with_all_channels_and_no_gdn_it_is_the_identity(patches):
  # Spare channels, of which there are some here, hardly matter.
  model = _started(patches, 200, 800)
  arrays = model.get_arrays()
  gammas = {k: 0 * v for k, v in arrays.items() if k.endswith("gamma")}
  model.set_arrays({**arrays, **gammas})
  assert _psnr(model, conftest.synthetic_photograph(99, 48, 80)[None]) > 50
  assert np.all(np.abs(arrays["analysis/2/kernel"]).sum((0, 1, 2)) > 0)


def test_fewer_channels_keep_the_most_important_part(patches):
  quality = [_psnr(_started(patches, 24, n), patches) for n in (12, 48, 96)]
  assert quality == sorted(quality)
  assert quality[0] > 15


def test_latents_have_no_frame_of_their_own(patches):
  # A flat image of the photographs' mean gives latents of zero up to the edge,
  # although the convolutions pad with zeros.
  model = _started(patches, 48, 64)
  mean = patches.mean((0, 1, 2)).astype("f4")
  y = model.analysis(np.broadcast_to(mean, (1, 48, 48, 3)))
  np.testing.assert_allclose(y, 0, atol=1e-4)


@pytest.mark.parametrize("prior", config.PRIORS)
def test_priors_fit_the_latents(patches, prior):
  model = _started(patches, 48, 64, prior)
  x = tf.constant(patches.reshape(6, 2, 64, 64, 3), tf.float32)
  before = model.rate_distortion(x, "noise", tf.constant([0, 0])).bpp
  scale = model.analysis(patches.astype("f4")).numpy().std((0, 1, 2))
  scale = scale * model.gains()[0].numpy()
  for factor in (0.3, 3.0):
    model.prior.set_scale(factor * scale)
    other = model.rate_distortion(x, "noise", tf.constant([0, 0])).bpp
    assert np.all(before < other)


def test_there_must_be_photographs(patches):
  with pytest.raises(errors.ModelError, match="images"):
    _started(patches[:0], 8, 12)
