"""Windows of a headless Chromium, driven over its DevTools protocol."""

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp

#: The installed Chromium; "" if there is none. The first is without windows, and starts with a
#: quarter of the CPU time.
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))), ""
)
#: Else each new window loads two pages for its invisible address bar, a second of CPU time.
WITHOUT_ADDRESS_BAR = "--disable-features=WebUIOmniboxAimPopup,WebUIOmniboxPopup"


class Connection:
    """A DevTools connection; every call waits for its answer."""

    def __init__(self, address: str) -> None:
        self._runner = asyncio.Runner()
        self._address = address
        self._calls = 0
        #: Exceptions in the page and errors in its log.
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        self._runner.run(self._connect())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._session.close())
        self._runner.close()

    def call(self, method: str, **params: Any) -> Any:
        """The result of one DevTools command."""
        return self._runner.run(self._call(method, params))

    async def _connect(self) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(self._address, max_msg_size=0)  # any size

    async def _call(self, method: str, params: dict[str, Any]) -> Any:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=60)
            if message.get("id") == self._calls:
                # While the browser leaves a page for another one, it evaluates nothing.
                assert method == "Runtime.evaluate" or "error" not in message, message
                return message.get("result", {})
            self._collect_problems(message)

    def _collect_problems(self, message: dict[str, Any]) -> None:
        entry = message.get("params", {}).get("entry", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(message["params"]["exceptionDetails"]))
        elif entry.get("level") == "error":
            self.problems.append(str(entry))


class Chromium:
    """One browser, whose start may take seconds of CPU time."""

    def __init__(self, profile: Path) -> None:
        self._process = subprocess.Popen(
            [
                CHROMIUM,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                WITHOUT_ADDRESS_BAR,
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        assert self._process.stderr is not None
        line = next(line for line in self._process.stderr if "DevTools listening" in line)
        self._address = line.partition(" on ")[2].strip()
        return self

    def __exit__(self, *_: object) -> None:
        # The program may be a script that waits for the browser.
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(timeout=60)
        assert self._process.stderr is not None
        self._process.stderr.close()

    @contextmanager
    def window(self, width: int = 1360, height: int = 900) -> Iterator["Window"]:
        """A window of a new user: it shares no cookies, storage or cache with others."""
        with Connection(self._address) as browser:
            context = browser.call("Target.createBrowserContext")["browserContextId"]
            target = browser.call(
                "Target.createTarget",
                url="about:blank",
                browserContextId=context,
                width=width,
                height=height,
            )["targetId"]
            pages = self._address.partition("/browser/")[0]
            with Window(f"{pages}/page/{target}") as window:
                for domain in ("Page", "Runtime", "Log"):
                    window.call(f"{domain}.enable")
                yield window
            browser.call("Target.disposeBrowserContext", browserContextId=context)


class Window(Connection):
    """A window with one page."""

    def eval(self, script: str) -> Any:
        """The value of a script in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer.get("result", {}).get("value")

    def wait_for(self, script: str, timeout_s: float = 180) -> Any:
        """Wait until the script's value is truthy and return it; an element is returned as {}."""
        deadline = time.monotonic() + timeout_s
        while (value := self.eval(script)) in (None, False, ""):
            assert time.monotonic() < deadline, f"still not: {script}; {self.problems}"
            time.sleep(0.05)  # the page needs the processor, too
        return value

    def open(self, url: str) -> None:
        """Load a page."""
        self.call("Page.navigate", url=url)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """A mouse event (Pressed, Moved, Released) with the left button at a place on the page."""
        self.call(
            "Input.dispatchMouseEvent",
            type=f"mouse{kind}",
            x=x,
            y=y,
            button="left",
            buttons=0 if kind == "Released" else 1,
            clickCount=1,
        )

    def screenshot(self, path: Path) -> None:
        """A PNG of the page."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
