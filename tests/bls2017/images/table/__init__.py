"""Image files and what they mean, a row each."""

from tests.bls2017.images.table import (
  bad_parts,
  colours,
  depths,
  losses,
  orientations,
  refused,
)

TABLE = [
  *orientations.ROWS,
  *depths.ROWS,
  *colours.ROWS,
  *losses.ROWS,
  *bad_parts.ROWS,
  *refused.ROWS,
]
