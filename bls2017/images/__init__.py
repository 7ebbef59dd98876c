"""Images as arrays, and how near two of them are.

Reading and writing image files as 8-bit sRGB, and the measures PSNR and
MS-SSIM.
"""
