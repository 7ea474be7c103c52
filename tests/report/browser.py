"""Headless Chromium, spoken to by the DevTools protocol: real keys and clicks, and everything that it logs."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {
    "Tab": 9,
    "Enter": 13,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowRight": 39,
    "ArrowDown": 40,
    " ": 32,
}


def chromium() -> str:
    """Return the command of Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    assert found is not None, "Chromium is not installed: `apt install chromium`"
    return found


class Browser:
    """One tab without a network. What it logs and asks for is collected."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.logged: list[str] = []
        self.requested: list[str] = []

    async def __aenter__(self) -> Browser:
        command = [
            chromium(),
            "--headless=new",
            "--disable-gpu",
            "--no-first-run",
            "--remote-debugging-port=0",
        ]
        command += [f"--user-data-dir={self._profile}", "--disable-dev-shm-usage", "--window-size=1280,900"]
        if os.name == "posix" and os.getuid() == 0:
            command.append("--no-sandbox")
        command += ["--proxy-server=127.0.0.1:9", "--disable-background-networking", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port = await self._port()
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as response:
            tab = next(item for item in await response.json() if item["type"] == "page")
        self._socket = await self._session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await self._socket.close()
        await self._session.close()
        self._process.terminate()
        self._process.wait(20)

    async def _port(self) -> str:
        path, end = self._profile / "DevToolsActivePort", time.monotonic() + 60
        while not path.is_file() or not path.read_text().strip():
            assert self._process.poll() is None, "Chromium ended at once"
            assert time.monotonic() < end, "Chromium does not start"
            await asyncio.sleep(0.05)
        return path.read_text().split()[0]

    async def _read(self) -> None:
        async for message in self._socket:
            document = message.json()
            if "id" in document:
                self._answers.pop(document["id"]).set_result(document)
                continue
            about = document["params"]
            if document["method"] == "Log.entryAdded":
                self.logged.append(about["entry"]["text"])
            elif document["method"] == "Runtime.consoleAPICalled":
                self.logged.append(str(about["args"]))
            elif document["method"] == "Runtime.exceptionThrown":
                self.logged.append(str(about["exceptionDetails"]))
            elif document["method"] == "Network.requestWillBeSent":
                self.requested.append(about["request"]["url"])

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        document = await asyncio.wait_for(answer, 60)
        assert "error" not in document, document
        return document["result"]

    async def open(self, page: Path, dark: bool = False, width: int = 1280) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        await self.send("Page.navigate", url=page.absolute().as_uri())
        end = time.monotonic() + 60
        while (
            await self.js("document.readyState") != "complete"
            or await self.js("location.protocol") != "file:"
        ):
            assert time.monotonic() < end, "the page does not load"
            await asyncio.sleep(0.05)

    async def js(self, expression: str) -> Any:
        """Return the value of an expression."""
        found = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def key(self, name: str, times: int = 1) -> None:
        """Press a key as a person does."""
        about = {"key": name, "code": "Space" if name == " " else name, "windowsVirtualKeyCode": KEYS[name]}
        text = {" ": {"text": " "}, "Enter": {"text": "\r"}}.get(name, {})
        for _ in range(times):
            await self.send("Input.dispatchKeyEvent", type="keyDown", **about, **text)
            await self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    async def click(self, selector: str) -> None:
        """Click on the middle of an element."""
        await self.js(
            f"document.querySelector({selector!r}).scrollIntoView({{block: 'center', behavior: 'instant'}})"
        )
        box = await self.js(
            f"(() => {{const r = document.querySelector({selector!r}).getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send(
                "Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1
            )

    async def picture(self, clip: str | None = None, height: int | None = None) -> bytes:
        """Take a PNG of an element, or of what can be seen, in a window of another height."""
        params: dict[str, Any] = {}
        if height is not None:
            await self.send(
                "Emulation.setDeviceMetricsOverride",
                width=1280,
                height=height,
                deviceScaleFactor=1,
                mobile=False,
            )
        if clip is not None:
            box = await self.js(
                f"(() => {{const r = document.querySelector({clip!r}).getBoundingClientRect();"
                "return {x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height, scale: 1}})()"
            )
            params = {"clip": box, "captureBeyondViewport": True}
        return base64.b64decode((await self.send("Page.captureScreenshot", format="png", **params))["data"])
