"""The choices of an encoder, which no decoder needs to know.

Quantization, the activity of every position, the search for a size or a PSNR,
refinement through the decoder, and regions of interest.
"""
