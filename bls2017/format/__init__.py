"""The format of files, byte by byte.

The integer coding tables, the lanes into which the symbols of an image are cut,
the range coder, and the container around them. FORMAT.md describes all of it
for those who write a decoder.
"""
