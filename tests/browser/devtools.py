"""A headless Chromium, driven by its DevTools protocol over a pipe.

No more than the checks in this folder need; and a server of static files that
counts what it sends.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import functools
import http.server
import itertools
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
from typing import Any, Callable, Optional

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
  "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--hide-scrollbars",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  "--remote-debugging-pipe",
)  # fmt: skip

Responder = Callable[[str], Optional[bytes]]
"""Answers a request for an address; None stands for status 404."""

TIMEOUT_SECONDS = 120.0
_TO_BROWSER, _FROM_BROWSER = 3, 4
"""The numbers of the pipes that Chromium expects."""


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
      # Numbers far away first: the pipes may have the numbers themselves.
      ends = [os.dup(to_read), os.dup(to_write)]
      ends = [os.dup2(end, 100 + i) for i, end in enumerate(ends)]
      os.dup2(ends[0], _TO_BROWSER)
      os.dup2(ends[1], _FROM_BROWSER)

    self._process = subprocess.Popen(
      [name, *OPTIONS, f"--user-data-dir={self._profile.name}", "about:blank"],
      preexec_fn=adopt,
      close_fds=False,
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    self._numbers = itertools.count(1)
    self._buffer = b""
    self.events: list[dict[str, Any]] = []
    self._responders: dict[str, Responder] = {}
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
    number = self._send(method, session, parameters)
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
      answer = self._receive(deadline, method)
      if answer.get("id") == number:
        if "error" in answer:
          raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]
      if answer.get("method") == "Fetch.requestPaused":
        self._respond(answer["sessionId"], answer["params"])
      elif "method" in answer:
        self.events.append(answer)

  def _send(
    self, method: str, session: str | None, parameters: dict[str, Any]
  ) -> int:
    """Sends a command; returns the number that its result will have."""
    number = next(self._numbers)
    message = {"id": number, "method": method, "params": parameters}
    if session:
      message["sessionId"] = session
    data = memoryview(json.dumps(message).encode() + b"\0")
    while data:
      data = data[os.write(self._commands, data) :]
    return number

  def intercept(self, session: str, start: str, respond: Responder) -> None:
    """Answers a page's requests for addresses that begin so; its workers' too.

    They are answered while a command is waited for.
    """
    self._responders[session] = respond
    self.call("Fetch.enable", session, patterns=[{"urlPattern": f"{start}*"}])

  def _respond(self, session: str, request: dict[str, Any]) -> None:
    content = self._responders[session](request["request"]["url"])
    # As a server of public files lets other sites read them.
    headers = [{"name": "Access-Control-Allow-Origin", "value": "*"}]
    parameters = {
      "requestId": request["requestId"],
      "responseCode": 404 if content is None else 200,
      "responseHeaders": headers,
      "body": base64.b64encode(content or b"").decode(),
    }
    self._send("Fetch.fulfillRequest", session, parameters)

  def _receive(self, deadline: float, method: str) -> dict[str, Any]:
    while b"\0" not in self._buffer:
      left = deadline - time.monotonic()
      if left <= 0 or not select.select([self._answers], [], [], left)[0]:
        raise RuntimeError(f"{method}: no answer")
      received = os.read(self._answers, 1 << 20)
      if not received:
        raise RuntimeError(f"{method}: the browser has ended")
      self._buffer += received
    message, _, self._buffer = self._buffer.partition(b"\0")
    return json.loads(message)

  def page(self, width: int, height: int, **emulation: Any) -> Page:
    """A new, empty page of so many pixels.

    Args:
      width: In CSS pixels.
      height: In CSS pixels.
      **emulation: `scale` of the screen, whether it is `mobile`, and whether
        it is `dark`.
    """
    target = self.call("Target.createTarget", url="about:blank")["targetId"]
    attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
    page = Page(self, attached["sessionId"])
    page.call("Page.enable")
    page.call("Runtime.enable")
    page.call("Log.enable")
    page.call("Page.bringToFront")
    mobile = emulation.get("mobile", False)
    page.call(
      "Emulation.setDeviceMetricsOverride",
      width=width,
      height=height,
      deviceScaleFactor=emulation.get("scale", 1),
      mobile=mobile,
    )
    page.call("Emulation.setTouchEmulationEnabled", enabled=mobile)
    scheme = "dark" if emulation.get("dark") else "light"
    page.call(
      "Emulation.setEmulatedMedia",
      features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    return page


class Page:
  """A page of a `Browser`."""

  def __init__(self, browser: Browser, session: str):
    """See `Browser.page`."""
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
    """The value of an expression, that of a promise once it is there."""
    answer = self.call(
      "Runtime.evaluate",
      expression=expression,
      awaitPromise=True,
      returnByValue=True,
      userGesture=True,
    )
    if "exceptionDetails" in answer:
      details = answer["exceptionDetails"]
      described = details.get("exception", {}).get("description")
      raise RuntimeError(described or details["text"])
    return answer["result"].get("value")

  def wait_for(self, condition: str) -> None:
    """Waits until an expression is true."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not self.evaluate(f"Boolean({condition})"):
      if time.monotonic() > deadline:
        raise RuntimeError(f"waited in vain for: {condition}")
      time.sleep(0.05)

  def intercept(self, start: str, respond: Responder) -> None:
    """See `Browser.intercept`."""
    self._browser.intercept(self._session, start, respond)

  def drop(self, *paths: pathlib.Path) -> None:
    """Drops files on the middle of the page."""
    x, y = self.evaluate("[innerWidth / 2, innerHeight / 2]")
    data = {
      "items": [],
      "files": [str(p) for p in paths],
      "dragOperationsMask": 1,
    }
    for kind in ("dragEnter", "dragOver", "drop"):
      self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

  def choose(self, selector: str, *paths: pathlib.Path) -> None:
    """Chooses files for an input element."""
    document = self.call("DOM.getDocument")["root"]["nodeId"]
    node = self.call("DOM.querySelector", nodeId=document, selector=selector)
    self.call(
      "DOM.setFileInputFiles",
      nodeId=node["nodeId"],
      files=[str(p) for p in paths],
    )

  def mouse(self, kind: str, x: float, y: float, **details: Any) -> None:
    """Moves, presses or releases the mouse, or turns its wheel."""
    self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **details)

  def touch(self, kind: str, *points: tuple[float, float]) -> None:
    """Sets fingers down, moves them, or lifts them (without points)."""
    touched = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
    self.call("Input.dispatchTouchEvent", type=kind, touchPoints=touched)

  def screenshot(self, path: pathlib.Path) -> None:
    """Saves what is seen."""
    answer = self.call("Page.captureScreenshot", format="png")
    path.write_bytes(base64.b64decode(answer["data"]))

  def errors(self) -> list[str]:
    """What scripts threw and the console was told of errors."""
    self.evaluate("0")  # Fetches the events that have come.
    found = []
    for event in self._browser.events:
      if event.get("sessionId") != self._session:
        continue
      if event["method"] == "Runtime.exceptionThrown":
        found.append(json.dumps(event["params"]["exceptionDetails"])[:400])
      if event["method"] == "Log.entryAdded":
        entry = event["params"]["entry"]
        if entry["level"] == "error":
          found.append(f"{entry['text']} {entry.get('url', '')}")
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
