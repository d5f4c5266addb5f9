"""A headless Chromium, driven over its DevTools protocol."""

import asyncio
import base64
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp


class Browser:
    """A browser with one page; every call waits for its answer."""

    def __init__(self, program: str, profile: Path, size: tuple[int, int] = (1360, 900)) -> None:
        self._runner = asyncio.Runner()
        self._process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                f"--window-size={size[0]},{size[1]}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._calls = 0
        #: Exceptions in the page and errors in its log.
        self.problems: list[str] = []

    def __enter__(self) -> Self:
        assert self._process.stderr is not None
        port = next(
            line.split("127.0.0.1:")[1].split("/")[0]
            for line in self._process.stderr
            if "DevTools listening" in line
        )
        self._runner.run(self._connect(f"http://127.0.0.1:{port}/json/list"))
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._session.close())
        self._runner.close()
        self._process.terminate()
        self._process.wait(timeout=60)
        assert self._process.stderr is not None
        self._process.stderr.close()

    def call(self, method: str, **params: Any) -> Any:
        """The result of one DevTools command."""
        return self._runner.run(self._call(method, params))

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

    async def _connect(self, listing: str) -> None:
        self._session = aiohttp.ClientSession()
        pages: list[dict[str, str]] = []
        while not pages:  # the browser listens before it has opened its page
            async with self._session.get(listing) as response:
                pages = [target for target in await response.json() if target["type"] == "page"]
        address = pages[0]["webSocketDebuggerUrl"]
        self._socket = await self._session.ws_connect(address, max_msg_size=0)

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
