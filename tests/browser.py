"""A headless Chromium for tests of pages, spoken to over pipes; nothing is installed for it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from base64 import b64decode

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
PATIENCE = 600
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-extensions", "--disable-background-networking",
           "--remote-debugging-pipe", "--no-first-run", "--hide-scrollbars")  # fmt: skip
# The browser reads from descriptor 3 and writes to 4.
START = """
import os, sys
for there, here in zip(sys.argv[1:3], (3, 4)):
    os.dup2(int(there), here)
os.execv(sys.argv[3], sys.argv[3:])
"""


def _high(descriptor):
    """The same pipe under a number that nobody else wants."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 20)
    os.close(descriptor)
    return moved


class Browser:
    """One tab: `open` a page, `evaluate` JavaScript in it; `events` are what the browser has reported."""

    def __init__(self, profile):
        to_browser, self._out = map(_high, os.pipe())
        self._in, from_browser = map(_high, os.pipe())
        browser = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", START, str(to_browser), str(from_browser), *browser],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer, self._number, self.events = b"", 0, []
        self._session = None
        (target,) = (t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self._process.terminate()
        self._process.wait(PATIENCE)
        os.close(self._in)
        os.close(self._out)

    def call(self, method, **parameters):
        """One command of the DevTools protocol, and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _next(self):
        while b"\0" not in self._buffer:
            chunk = os.read(self._in, 1 << 20)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def open(self, url, width):
        """Load a page in a window of some width and wait until it stands."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + PATIENCE
        while self.evaluate("document.readyState") != "complete" or self.evaluate("location.href") != url:
            assert time.monotonic() < deadline, f"{url} does not load"
            time.sleep(0.05)

    def evaluate(self, code):
        """The value of an expression of the page, as Python's."""
        found = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self):
        """The whole page as PNG."""
        return b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def complaints(self):
        """Errors and warnings of the console, and uncaught exceptions."""
        bad = [e["params"] for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        bad += [e["params"] for e in self.events if e["method"] == "Log.entryAdded"]
        return bad + [e["params"] for e in self.events if e["method"] == "Runtime.consoleAPICalled"]

    def requests(self):
        """Addresses that pages have asked for."""
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
