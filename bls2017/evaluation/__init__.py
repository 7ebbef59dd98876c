"""Comparing codecs by rate and distortion.

The codecs compared, the grid of measurements, curves and Bjontegaard deltas,
the report, and the studies of the paper's own questions.
"""
