"""The codec as a graph of TensorFlow's own operations.

`graph_codec` codes batches; the other modules have its parts.
"""
