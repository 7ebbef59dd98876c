"""The choices of an encoder, which no decoder needs to know.

`plan` leads from an image and a caller's `options` to the rows of a file: the
image is analysed and quantized, `targets` looks for a quality, a size or a
PSNR, and `refinement` improves the symbols through the decoder.
"""
