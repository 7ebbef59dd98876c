"""Drives a headless Chromium by its DevTools protocol over a pipe.

There is no more than the checks in this folder need, and a server of static
files that counts what it sends.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import functools
import http.server
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
  "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  "--remote-debugging-pipe",
)  # fmt: skip
TIMEOUT_SECONDS = 120.0


class Browser:
  """A running Chromium with an empty profile; a context manager."""

  def __enter__(self) -> Browser:
    name = next((n for n in BROWSERS if shutil.which(n)), None)
    if name is None:
      raise SystemExit(f"none of {', '.join(BROWSERS)} is installed")
    self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    to_read, self._commands = os.pipe()
    self._answers, to_write = os.pipe()

    def adopt() -> None:
      # Chromium expects its pipes as 3 and 4, which may be taken by each other.
      ends = [
        os.dup2(end, 100 + i) for i, end in enumerate((to_read, to_write))
      ]
      os.dup2(ends[0], 3)
      os.dup2(ends[1], 4)

    self._process = subprocess.Popen(
      [name, *OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"],
      preexec_fn=adopt,
      close_fds=False,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    self._number = 0
    self._buffer = b""
    self.events: list[dict[str, Any]] = []
    return self

  def __exit__(self, *exception: object) -> None:
    with contextlib.suppress(Exception):
      self.call("Browser.close")
    try:
      self._process.wait(10)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    os.close(self._commands)
    os.close(self._answers)
    self._profile.cleanup()

  def call(
    self, method: str, session: str | None = None, **parameters: Any
  ) -> dict[str, Any]:
    """Sends a command and returns its result."""
    self._number += 1
    message = {"id": self._number, "method": method, "params": parameters}
    if session:
      message["sessionId"] = session
    data = memoryview(json.dumps(message).encode() + b"\0")
    while data:
      data = data[os.write(self._commands, data) :]
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
      answer = self._receive(deadline)
      if answer.get("id") == self._number:
        if "error" in answer:
          raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]
      if "method" in answer:
        self.events.append(answer)

  def _receive(self, deadline: float) -> dict[str, Any]:
    while b"\0" not in self._buffer:
      left = max(deadline - time.monotonic(), 0)
      if not select.select([self._answers], [], [], left)[0]:
        raise RuntimeError("the browser does not answer")
      received = os.read(self._answers, 1 << 20)
      if not received:
        raise RuntimeError("the browser has ended")
      self._buffer += received
    message, _, self._buffer = self._buffer.partition(b"\0")
    return json.loads(message)

  def page(
    self, width: int, height: int, *, mobile: bool = False, dark: bool = False
  ) -> Page:
    """Opens an empty page of so many pixels of CSS."""
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
    page = Page(self, attached["sessionId"])
    for method in ("Page.enable", "Runtime.enable", "Log.enable"):
      page.call(method)
    page.call("Page.bringToFront")
    page.call(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=height,
      deviceScaleFactor=2 if mobile else 1,
      mobile=mobile,
    )
    page.call("Emulation.setTouchEmulationEnabled", enabled=mobile)
    scheme = {
      "name": "prefers-color-scheme",
      "value": "dark" if dark else "light",
    }
    page.call("Emulation.setEmulatedMedia", features=[scheme])
    return page


class Page:
  """A page of a `Browser`."""

  def __init__(self, browser: Browser, session: str):
    self._browser = browser
    self._session = session

  def call(self, method: str, **parameters: Any) -> dict[str, Any]:
    """Sends a command to this page."""
    return self._browser.call(method, self._session, **parameters)

  def open(self, address: str) -> None:
    """Goes to an address, and waits until it is loaded."""
    self.evaluate("window.isLeft = true")
    self.call("Page.navigate", url=address)
    self.wait_for("!window.isLeft && document.readyState === 'complete'")

  def evaluate(self, expression: str) -> Any:
    """Returns the value of an expression; waits for that of a promise."""
    answer = self.call(
      "Runtime.evaluate",
      expression=expression,
      awaitPromise=True,
      returnByValue=True,
      userGesture=True,
    )
    if "exceptionDetails" in answer:
      raise RuntimeError(json.dumps(answer["exceptionDetails"]))
    return answer["result"].get("value")

  def wait_for(self, condition: str) -> None:
    """Waits until an expression is true."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not self.evaluate(f"Boolean({condition})"):
      if time.monotonic() > deadline:
        raise RuntimeError(f"waited in vain for: {condition}")
      time.sleep(0.05)

  def text(self, element: str) -> str:
    """Returns the text of the element with an id."""
    return self.evaluate(f"document.getElementById('{element}').textContent")

  def click(self, element: str) -> None:
    """Clicks the element with an id."""
    self.evaluate(f"document.getElementById('{element}').click()")

  def drop(self, *paths: pathlib.Path) -> None:
    """Drops files on the middle of the page."""
    x, y = self.evaluate("[innerWidth / 2, innerHeight / 2]")
    files = [str(p) for p in paths]
    data = {"items": [], "files": files, "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
      self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

  def choose(self, selector: str, path: pathlib.Path) -> None:
    """Chooses a file for an input element."""
    document = self.call("DOM.getDocument")["root"]["nodeId"]
    node = self.call("DOM.querySelector", nodeId=document, selector=selector)
    self.call("DOM.setFileInputFiles", nodeId=node["nodeId"], files=[str(path)])

  def screenshot(self) -> bytes:
    """Returns a PNG file of what is seen."""
    answer = self.call("Page.captureScreenshot", format="png")
    return base64.b64decode(answer["data"])

  def errors(self) -> list[str]:
    """Returns the errors that scripts threw or the console shows."""
    self.evaluate("0")  # Fetches the events that have come.
    found = []
    for event in self._browser.events:
      if event.get("sessionId") == self._session:
        parameters = event["params"]
        is_error = parameters.get("entry", {}).get("level") == "error"
        if event["method"] == "Runtime.exceptionThrown" or is_error:
          found.append(json.dumps(parameters))
    return found


class _Handler(http.server.SimpleHTTPRequestHandler):
  """Serves a folder, counts bytes, and says nothing."""

  sent: collections.Counter[str]
  headers_of_all: dict[str, str]

  def end_headers(self) -> None:
    for name, value in self.headers_of_all.items():
      self.send_header(name, value)
    super().end_headers()

  def log_message(self, format: str, *args: Any) -> None:
    pass

  def copyfile(self, source: Any, outputfile: Any) -> None:
    data = source.read()
    self.sent[self.path.partition("?")[0]] += len(data)
    outputfile.write(data)


@contextlib.contextmanager
def serve(
  folder: pathlib.Path, **headers: str
) -> Iterator[tuple[str, collections.Counter]]:
  """Serves a folder, with headers for all files (underscores for hyphens).

  Yields:
    Its address, and the bytes sent for each path so far.
  """
  sent: collections.Counter[str] = collections.Counter()
  named = {name.replace("_", "-"): value for name, value in headers.items()}
  members = {"sent": sent, "headers_of_all": named}
  handler = type("Handler", (_Handler,), members)
  server = http.server.ThreadingHTTPServer(
    ("127.0.0.1", 0), functools.partial(handler, directory=str(folder))
  )
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  try:
    yield f"http://127.0.0.1:{server.server_port}", sent
  finally:
    server.shutdown()
    server.server_close()
    thread.join()
