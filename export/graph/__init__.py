"""The codec as graph functions of single images.

Container, coding tables, quantization and rate control in stock TensorFlow
operations; nothing here imports tensorflow_compression.
"""
