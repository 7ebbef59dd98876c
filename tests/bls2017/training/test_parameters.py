from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bls2017.training import parameters


@pytest.mark.parametrize("size", [2, 4, 5, 9])
def test_the_basis_is_orthonormal_and_begins_with_a_constant(size: int) -> None:
  basis = parameters.dct_basis(size)
  np.testing.assert_allclose(basis @ basis.T, np.eye(size**2), atol=1e-6)
  np.testing.assert_allclose(basis[0], 1 / size, rtol=1e-6)


@pytest.mark.parametrize("shape", [(9, 9, 3, 7), (5, 5, 4, 2)])
def test_a_kernel_parameter_holds_what_it_was_given(
  shape: tuple[int, ...],
) -> None:
  first, second = np.random.default_rng(0).normal(size=(2, *shape))
  parameter = parameters.OrthonormalKernelParameter(first)
  np.testing.assert_allclose(parameter(), first, atol=1e-5)
  parameter.assign(second)
  np.testing.assert_allclose(parameter(), second, atol=1e-5)


def test_coefficients_and_taps_have_equal_gradient_norms() -> None:
  # Orthonormal means that clipping and weight norms keep their meaning.
  kernel = np.random.default_rng(1).normal(size=(5, 5, 3, 4)).astype("f4")
  parameter = parameters.OrthonormalKernelParameter(kernel)
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(parameter() ** 3)
  by_coefficients = tf.norm(tape.gradient(loss, parameter.variable))
  np.testing.assert_allclose(
    by_coefficients, np.linalg.norm(3 * kernel**2), rtol=1e-5
  )


def test_a_nonnegative_parameter_keeps_to_its_minimum() -> None:
  parameter = parameters.NonnegativeParameter(tf.ones((3,)), minimum=0.25)
  parameter.assign([-1.0, 0.1, 2.0])
  np.testing.assert_allclose(parameter(), [0.25, 0.25, 2.0], atol=1e-5)


def test_random_kernels_depend_on_the_seed_alone() -> None:
  one, again, other = (parameters.glorot_kernel(5, 8, 16, s) for s in (1, 1, 2))
  np.testing.assert_array_equal(one, again)
  assert not np.allclose(one, other)
  assert np.std(one) == pytest.approx((25 * 12) ** -0.5, rel=0.05)
