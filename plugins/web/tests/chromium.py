"""A real browser: headless Chromium, told what to do by the DevTools protocol over a pair of pipes.

The protocol's JSON, ended by a zero byte, needs neither a port nor a library (--remote-debugging-pipe): the browser reads its
file 3 and writes to file 4.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = "needs chromium: apt-get install chromium"
OPTIONS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-default-browser-check", "--force-color-profile=srgb",
)  # fmt: skip
_AT_3_AND_4 = (
    "import fcntl, os, sys; here, there = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3]); "
    "os.dup2(here, 3); os.dup2(there, 4); os.execv(sys.argv[3], sys.argv[3:])"
)
TAB, ENTER = ("Tab", 9, ""), ("Enter", 13, "\r")
"""Keys: name, code, text."""


def chromium() -> str | None:
    """Where it is."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class DevToolsError(Exception):
    """The browser refuses."""


class Browser:
    """The process, and the conversation with it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self.tabs: dict[str, Tab] = {}

    async def listen(self) -> None:
        """Hand on what it says, until it ends."""
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                said = json.loads((await self._reader.readuntil(b"\0"))[:-1])
                if (asked := self._asked.pop(said.get("id", 0), None)) is not None:
                    if "error" in said:
                        asked.set_exception(DevToolsError(said["error"]["message"]))
                    else:
                        asked.set_result(said["result"])
                elif tab := self.tabs.get(said.get("sessionId", "")):
                    tab.hear(said["method"], said["params"])
        for each in self._asked.values():
            each.set_exception(DevToolsError("the browser has ended"))

    async def call(self, method: str, session: str = "", **params: Any) -> Any:
        """Ask for something; the answer. Raises DevToolsError."""
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        said = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        self._writer.write(json.dumps(said).encode() + b"\0")
        return await self._asked[number]

    @asynccontextmanager
    async def tab(self) -> "AsyncIterator[Tab]":
        """A tab with cookies of its own."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        made = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        tab = self.tabs[attached["sessionId"]] = Tab(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            await tab.call(f"{domain}.enable")
        try:
            yield tab
        finally:
            del self.tabs[attached["sessionId"]]
            await self.call("Target.disposeBrowserContext", browserContextId=context)


@dataclass
class Tab:
    """One tab; what it did since `clear` is in its fields."""

    browser: Browser
    session: str
    complaints: list[str] = field(default_factory=list)
    """What the console shows: errors, warnings, violations of the policy, exceptions."""
    requests: list[str] = field(default_factory=list)
    """Addresses that were asked for."""
    size: int = 0
    """Bytes that came, with headers."""
    _loaded: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, method: str, params: Any) -> None:
        match method:
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.complaints.append(" ".join(str(each.get("value", each)) for each in params["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.loadingFinished":
                self.size += round(params["encodedDataLength"])
            case "Page.loadEventFired":
                self._loaded.set()

    async def call(self, method: str, **params: Any) -> Any:
        return await self.browser.call(method, self.session, **params)

    def clear(self) -> None:
        self.complaints.clear()
        self.requests.clear()
        self.size = 0

    async def goto(self, address: str) -> None:
        """Open a page, with all that it needs. Raises DevToolsError."""
        self._loaded.clear()
        answer = await self.call("Page.navigate", url=address)
        if "errorText" in answer:
            raise DevToolsError(f"{address}: {answer['errorText']}")
        await self._loaded.wait()

    async def after(self, what: str) -> Any:
        """Run a script that leads to another page, and wait for that."""
        self._loaded.clear()
        await self.run(what)
        await self._loaded.wait()

    async def run(self, script: str) -> Any:
        """What it comes to, as JSON can say it; a promise is waited for. Raises DevToolsError."""
        said = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in said:
            raise DevToolsError(str(said["exceptionDetails"]))
        return said["result"].get("value")

    async def until(self, script: str, within: float = 60.0) -> None:
        """Wait until it comes to something true."""
        try:
            async with asyncio.timeout(within):
                while not await self.run(f"!!({script})"):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(
                f"never: {script}; the page says {await self.run('document.body.innerText')}"
            ) from None

    async def press(self, key: tuple[str, int, str] = TAB, *, shift: bool = False) -> None:
        """A key, down and up."""
        name, code, text = key
        said = {"key": name, "code": name, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **said, **({"text": text} if text else {}))
        await self.call("Input.dispatchKeyEvent", type="keyUp", **said)

    async def write(self, text: str) -> None:
        """Type."""
        await self.call("Input.insertText", text=text)

    async def looks(self, width: int, height: int, *, theme: str = "light", language: str = "en") -> None:
        """Its window's size, and what its user has set in the browser."""
        phone = width < 600
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        await self.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})

    async def picture(self, path: Path, *, whole: bool = True, most: int = 5000) -> None:
        """A screenshot, of the whole page (so many pixels at most) or of what the window shows."""
        clip = {}
        if whole:
            size = (await self.call("Page.getLayoutMetrics"))["cssContentSize"]
            there = {"x": 0, "y": 0, "width": size["width"], "height": min(most, size["height"]), "scale": 1}
            clip = {"clip": there, "captureBeyondViewport": True}
        said = await self.call("Page.captureScreenshot", format="png", **clip)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(said["data"]))

    def foreign(self, address: str) -> list[str]:
        """What was asked for elsewhere than at the gateway."""
        own = urlsplit(address).netloc
        return [each for each in self.requests if urlsplit(each).netloc != own and not each.startswith("data:")]


@asynccontextmanager
async def browsing(path: str) -> AsyncIterator[Browser]:
    """A browser with nothing in it, from its start to its end."""
    (its_input, to), (came, its_output) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # it has none for root
        arguments = [path, *OPTIONS, *sandbox, f"--user-data-dir={profile}", "about:blank"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-ISc", _AT_3_AND_4, str(its_input), str(its_output), *arguments),
            pass_fds=(its_input, its_output), stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(its_input)
        os.close(its_output)
        reader, writer = await _streams(came, to)
        browser = Browser(reader, writer)
        listening = asyncio.create_task(browser.listen())
        try:
            yield browser
        finally:
            with contextlib.suppress(DevToolsError, OSError, TimeoutError):
                async with asyncio.timeout(10):
                    await browser.call("Browser.close")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            writer.close()
            await listening


async def _streams(came: int, to: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(came, "rb", 0))
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(to, "wb", 0)
    )
    return reader, asyncio.StreamWriter(transport, protocol, None, loop)
