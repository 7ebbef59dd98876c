"""Training a model, and freezing it into a model directory.

The trainable model with its layers and priors, the data, the loop with its
checkpoints, and the making of coding tables. Besides the range coder of
tensorflow-compression and the benchmark, only this room imports that package.
"""
