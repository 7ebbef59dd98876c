"""The range coder in stock TensorFlow operations.

Vectorised over lanes: a step of its loops codes one symbol of every lane.
"""
