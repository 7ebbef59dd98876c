"""The encoder's choices: from an image and a `Request` to the rows of a file.

`search.encode` is the way in. An image is analysed and quantized
(`quantization`, `activities`), `search` looks for a size or a PSNR among
`candidates`, and `refinement` improves the symbols through the decoder. A
decoder needs none of this.
"""
