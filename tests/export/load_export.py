"""Loads an export in both ways that TensorFlow has, and uses its signatures.

Run with the path of a version; prints what the signatures gave as JSON. It
imports TensorFlow and nothing of this project, so it also runs elsewhere.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import tensorflow as tf


def main(path: str) -> None:
  x = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)
  loaded = tf.saved_model.load(path).signatures

  def call(name, **inputs):
    tensors = {k: tf.constant(v) for k, v in inputs.items()}
    return {k: v.numpy() for k, v in loaded[name](**tensors).items()}

  report = {"saved_model.load": _use(call, x, list(loaded))}
  with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    described = tf.compat.v1.saved_model.load(session, ["serve"], path)
    signatures = described.signature_def

    def run(name, **inputs):
      signature = signatures[name]
      return session.run(
        {k: v.name for k, v in signature.outputs.items()},
        {signature.inputs[k].name: v for k, v in inputs.items()},
      )

    names = [n for n in signatures if not n.startswith("__")]
    report["session"] = _use(run, x, names)
  print(json.dumps(report))


def _use(call, x, names):
  alpha = x[..., :1] // 128 * x[..., 1:2]
  pngs = [tf.io.encode_png(np.concatenate([x, *a], 2)) for a in ([], [alpha])]
  if not tf.executing_eagerly():
    pngs = tf.compat.v1.Session().run(pngs)
  else:
    pngs = [png.numpy() for png in pngs]
  png, transparent = pngs
  quality = np.array([1.5], np.float32)
  data = call("compress_image", image=x[None], quality=quality)
  compressed = data["compressed_bytes"]
  for name in ("compress", "serving_default"):
    again = call(name, image_bytes=[png], quality=quality)
    assert again["compressed_bytes"][0] == compressed[0]
  image = call("decompress_image", compressed_bytes=compressed)["image"][0]
  file = call("decompress", compressed_bytes=compressed)
  assert file["status"][0] == 0 and file["image_bytes"][0]
  hidden = call("compress", image_bytes=[transparent], quality=quality)
  hidden = hidden["compressed_bytes"]
  shown = call("decompress_image", compressed_bytes=hidden)
  assert np.array_equal(shown["alpha"][0], alpha)
  info = call("info", compressed_bytes=compressed)
  assert (info["height"][0], info["width"][0]) == x.shape[:2]
  broken = call("decompress", compressed_bytes=[compressed[0][:-1]])
  return {
    "signatures": names,
    "compressed": compressed[0].hex(),
    "image": image.tolist(),
    "status": int(broken["status"][0]),
  }


if __name__ == "__main__":
  main(sys.argv[1])
