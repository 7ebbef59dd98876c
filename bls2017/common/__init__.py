"""Facts and tools that every other room uses.

Model configurations and the geometry of the transforms, files that appear whole
or not at all, and the lock of a directory. Imports nothing of this package but
`errors`.
"""
