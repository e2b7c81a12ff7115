"""Chromium without a window, driven over its debugging pipe: no driver and no package is needed.

with chromium(tmp_path) as browser:
    browser.open(page)
    browser.press("j")
    assert browser.ask("document.title") == "..."
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Browser", "chromium", "find_chromium"]

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
]
_WITH_PIPE = """import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])"""
"""Chromium wants its pipe as 3 and 4."""


def find_chromium() -> str | None:
    """The path of an installed Chromium or Chrome."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for path in map(shutil.which, names) if path), None)


class Browser:
    """One tab."""

    def __init__(self, into: int, out: int, downloads: Path) -> None:
        self._into, self._out, self._rest = into, out, b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.requested: list[str] = []
        """Addresses that the page asked for, without `data:` and `blob:`."""
        self.complaints: list[str] = []
        """What the console said, exceptions, and what the page's policy refused."""
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")
        self.do("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def do(self, method: str, **parameters: object) -> dict[str, Any]:
        """The answer of a command of the DevTools protocol."""
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session and not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path) -> None:
        """Opens a file, or the open one again."""
        self.do("Page.navigate", url=page.as_uri())
        self.wait(lambda: self.ask("document.readyState") == "complete")

    def ask(self, script: str) -> Any:
        """The value of an expression."""
        result = self.do("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self, selector: str) -> Any:
        """What an element says."""
        return self.ask(f"document.querySelector({json.dumps(selector)}).textContent.trim()")

    def choose(self, selector: str, value: str) -> None:
        """Gives a field a value, as a person would."""
        field = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{field}.value = {json.dumps(value)}")
        self.ask(f"{field}.dispatchEvent(new Event('input', {{bubbles: true}}))")

    def press(self, key: str) -> None:
        """Presses a key that writes a character."""
        self.do("Input.dispatchKeyEvent", type="keyDown", key=key, text=key)
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key)

    def wait(self, until: Callable[[], object], timeout_s: float = 10) -> None:
        """Waits for something to become true."""
        end = time.monotonic() + timeout_s
        while not until():
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.02)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._out, 1 << 16)
            assert more, "the browser went away"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        method, told = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            address = told["request"]["url"]
            if not address.startswith(("data:", "blob:")):
                self.requested.append(address)
        elif method in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(told))
        return message


@contextmanager
def chromium(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in `folder`, where it puts downloads too; gone at the end."""
    path = find_chromium()
    assert path is not None
    its_in, our_out = os.pipe()
    our_in, its_out = os.pipe()
    command = [sys.executable, "-c", _WITH_PIPE, str(its_in), str(its_out), path, *_FLAGS]
    process = subprocess.Popen(
        [*command, f"--user-data-dir={folder / 'profile'}"],
        pass_fds=(its_in, its_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_in)
    os.close(its_out)
    try:
        browser = Browser(our_out, our_in, folder)
        yield browser
        browser.do("Browser.close")
        process.wait(10)
    finally:
        process.kill()
        process.wait()
        os.close(our_in)
        os.close(our_out)
