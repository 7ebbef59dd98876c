"""Images a second of several exports under the same load, in turns.

    python -m tests.load.compare --export=OLD/1 --export=NEW/1 --rounds=5

Each export, a version directory of the same or of different models, has a
server of its own. In each round each is sent requests of sixteen clients for
some seconds: photographs to compress, and the files it made of them to
decompress. An answer is wrong where it differs from the server's first one.
Prints the medians over the rounds, and their ratios to the first export's.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics

from export import client
from tests import images
from tests.export import library
from tests.load import serving

_SIZES = ((512, 768), (768, 512), (320, 480), (256, 256))
_QUALITIES = (2.0, 4.0, 6.0, 8.0)


def requests(address: str) -> list[serving.Request]:
  """Requests to a server that must be answered as they were once."""
  found = []
  with client.GrpcClient(address) as connected:
    for seed, (size, quality) in enumerate(zip(_SIZES, _QUALITIES)):
      png = library.png(images.photograph(*size, seed=seed))
      data = connected.compress(png, quality)
      decoded = connected.decompress(data)
      found += [
        serving.Request(
          "compress",
          lambda c, p=png, q=quality, d=data: c.compress(p, q) == d,
        ),
        serving.Request(
          "decompress", lambda c, d=data, e=decoded: c.decompress(d) == e
        ),
      ]
  return found


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--export", action="append", required=True)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--seconds", type=float, default=20)
  flags = parser.parse_args()
  rates: list[list[float]] = [[] for _ in flags.export]
  wrong: list[str] = []
  with contextlib.ExitStack() as stack:
    servers = [
      stack.enter_context(serving.Server(path, serving.MAX_BATCH_SIZE))
      for path in flags.export
    ]
    sound = [requests(server.address) for server in servers]
    for number in range(flags.rounds):
      for server, of_server, rate in zip(servers, sound, rates):
        phase = serving.run_phase(
          server.address, of_server, [], flags.seconds, number
        )
        rate.append(len(phase.seconds) / flags.seconds)
        wrong += phase.wrong
  medians = [statistics.median(rate) for rate in rates]
  for path, rate in zip(flags.export, medians):
    print(f"{path}: {rate:.2f} images a second, {rate / medians[0]:.2f}")
  print(f"{len(wrong)} answers were wrong", *wrong[:10], sep="\n")


if __name__ == "__main__":
  main()
