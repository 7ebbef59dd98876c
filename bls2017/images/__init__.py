"""Images as arrays, and how near two of them are.

`reading` makes 8-bit sRGB of any image, with what its file says, by the rules
of `containers`, `metadata`, `samples` and `colour`.
`writing` makes image files, `metrics` has PSNR and MS-SSIM.
"""
