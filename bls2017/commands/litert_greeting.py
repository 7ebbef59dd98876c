"""Keeps LiteRT's greeting from standard error.

LiteRT (2.1 to 2.3) writes there, when it prepares the first graph of a process,
that it uses XNNPACK. It has no setting for it. So a command prepares a graph of
one operation at its start, before any thread could write to standard error as
well. The library redirects nothing.
"""

from __future__ import annotations

import base64
import os
import zlib

_GRAPH = zlib.decompress(
  base64.b85decode(
    "c-oU-U|<Mw^D$;%;A0SB5Mbb8-~fuS0C@~R9s`365N`ouW*}w+Vu&mVLiivxJaC;XKoTNm"
    "1H=wM?1H3@fq@Gw4^qbkHH!x-55o*t_)I{o0JfKb;oblL|5;Gv*}&$pLFJM4Lfpo~zztRh"
    "aa$_H$W#DfcnMJ"
  )
)
"""The .tflite file of abs(x), float32 [1]."""


def swallow() -> None:
  """Lets LiteRT greet into nowhere; nothing else may write meanwhile."""
  from ai_edge_litert import interpreter

  graph = interpreter.Interpreter(model_content=_GRAPH)
  try:
    stderr = os.dup(2)
  except OSError:  # There is no standard error.
    return
  try:
    with open(os.devnull, "wb") as nowhere:
      os.dup2(nowhere.fileno(), 2)
    graph.allocate_tensors()
  finally:
    os.dup2(stderr, 2)
    os.close(stderr)
