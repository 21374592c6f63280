"""A real browser for the tests: headless Chromium, driven over the DevTools protocol through aiohttp's WebSocket.

    async with chromium(fake_wav=path) as browser:
        page = await browser.open(url, width=1280, height=800)
        await page.wait_for("document.querySelector('.row')")
        await page.screenshot(path)

Every browser has a profile of its own that is deleted afterwards; every page a context of its own (cookies, storage).
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

STARTUP_S = 30.0
POLL_S = 0.03
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--disable-extensions",
    "--disable-features=WebRtcHideLocalIpsWithMdns,Translate,OptimizationHints,MediaRouter",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
KEYS = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowUp": 38, "ArrowDown": 40}


class PageError(AssertionError):
    """A script threw in the page, or something waited for did not come."""


def chromium_path() -> str:
    """Where Chromium is; without one the test fails in CI and is skipped elsewhere."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    reason = "Chromium is not installed: the console was not tested in a browser (Debian package: chromium)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


class Page:
    """One tab. `messages` collects what the page logged, threw or was refused by its content security policy."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self.messages: list[str] = []

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._browser.send(method, params, session=self._session)

    async def eval(self, script: str) -> Any:
        """The value of an expression; a promise is awaited. Raises PageError with the page's own words."""
        answer = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if thrown := answer.get("exceptionDetails"):
            raise PageError(f"{script}: {thrown.get('exception', {}).get('description', thrown['text'])}")
        return answer["result"].get("value")

    async def wait_for(self, script: str, timeout: float = 10.0) -> Any:
        """The first truthy value of an expression."""
        deadline = time.monotonic() + timeout
        # An element has no value of its own to hand over; that it is there is the answer.
        value_of = f"Promise.resolve({script}).then(value => value instanceof Node ? true : value)"
        while not (value := await self.eval(value_of)):
            if time.monotonic() > deadline:
                raise PageError(f"not true within {timeout:g} s: {script}; the page said {self.messages}")
            await asyncio.sleep(POLL_S)
        return value

    async def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        scale = 2 if phone else 1
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )

    async def prefer(self, **features: str) -> None:
        """Media features with dashes as underscores: prefer(prefers_color_scheme="dark")."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        await self.send("Emulation.setEmulatedMedia", features=named)

    async def press(self, key: str) -> None:
        """One key press, by its DOM name ("j", "/", "Enter")."""
        event = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key.upper()[0]))}
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    async def type(self, text: str) -> None:
        await self.send("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """A real click in the middle of an element."""
        found = await self.eval(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            " e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        place = {"x": found[0], "y": found[1], "button": "left", "clickCount": 1}
        await self.send("Input.dispatchMouseEvent", type="mousePressed", **place)
        await self.send("Input.dispatchMouseEvent", type="mouseReleased", **place)

    async def choose_file(self, selector: str, *paths: Path) -> None:
        """Put files into an <input type=file>, as if chosen."""
        root = (await self.send("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.send("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path) for path in paths])

    async def screenshot(
        self, path: Path | str, width: int | None = None, height: int | None = None, *, phone: bool = False
    ) -> None:
        """A PNG of what is seen; with a size, the window takes that size first."""
        if width and height:
            await self.resize(width, height, phone=phone)
        shot = await self.send("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(shot["data"]))

    def note(self, event: dict[str, Any]) -> None:
        params = event["params"]
        if event["method"] == "Log.entryAdded":
            self.messages.append(f"{params['entry']['level']}: {params['entry']['text']}")
        elif event["method"] == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.messages.append("thrown: " + details.get("exception", {}).get("description", details["text"]))
        elif event["method"] == "Runtime.consoleAPICalled":
            words = [str(one.get("value", one.get("description"))) for one in params["args"]]
            self.messages.append(f"console.{params['type']}: {' '.join(words)}")


class Browser:
    """The DevTools connection: commands by id, events to the page they belong to."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._contexts: list[str] = []
        self._reader = asyncio.create_task(self._read())

    async def send(self, method: str, params: dict[str, Any], session: str | None = None) -> dict[str, Any]:
        number = next(self._ids)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json(
            {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
        )
        return await asyncio.wait_for(future, 30.0)

    async def open(self, url: str, *, width: int = 1280, height: int = 800) -> Page:
        """A new page, in a context of its own, at `url`; returns when its document has loaded."""
        context = (await self.send("Target.createBrowserContext", {}))["browserContextId"]
        target = await self.send("Target.createTarget", {"url": "about:blank", "browserContextId": context})
        attached = await self.send("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        self._contexts.append(context)
        for domain in ("Page", "Runtime", "Log"):
            await page.send(f"{domain}.enable")
        # Headless pages are never in front; without this, focus styles and document.activeElement would differ.
        await page.send("Emulation.setFocusEmulationEnabled", enabled=True)
        await page.resize(width, height)
        await page.send("Page.navigate", url=url)
        await page.wait_for(
            f"location.href !== 'about:blank' && document.readyState === 'complete' && {json.dumps(url)}"
        )
        return page

    async def close_pages(self) -> None:
        """End every page with its cookies: pages left open go on drawing and reconnecting."""
        contexts, self._contexts = self._contexts, []
        self._pages.clear()
        for context in contexts:
            await self.send("Target.disposeBrowserContext", {"browserContextId": context})

    async def _read(self) -> None:
        async for message in self._socket:
            event = json.loads(message.data)
            if (future := self._answers.pop(event.get("id", 0), None)) is not None:
                if not future.done():
                    _settle(future, event)
            elif (page := self._pages.get(event.get("sessionId", ""))) is not None:
                page.note(event)
        for future in self._answers.values():
            future.cancel()

    async def aclose(self) -> None:
        with suppress(ConnectionError, asyncio.TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(self.send("Browser.close", {}), 5.0)
        self._reader.cancel()


def _settle(future: asyncio.Future[dict[str, Any]], event: dict[str, Any]) -> None:
    if "error" in event:
        future.set_exception(PageError(event["error"]["message"]))
    else:
        future.set_result(event["result"])


def microphone_flags(fake_wav: Path | str | None) -> list[str]:
    """A fake microphone: always allowed; plays `fake_wav` (48 kHz mono int16, looped) or, without one, beeps."""
    flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    if fake_wav is not None:
        flags.append(f"--use-file-for-fake-audio-capture={Path(fake_wav).resolve()}")
    return flags


@asynccontextmanager
async def chromium(fake_wav: Path | str | None = None, *, flags: tuple[str, ...] = ()) -> AsyncIterator[Browser]:
    """A browser of its own, ended with everything it started."""
    profile = Path(tempfile.mkdtemp(prefix="vivavoce-chromium-"))
    command = [
        chromium_path(),
        *FLAGS,
        *microphone_flags(fake_wav),
        *flags,
        f"--user-data-dir={profile}",
        "about:blank",
    ]
    null = asyncio.subprocess.DEVNULL
    # A session of its own: ending the group ends the renderers too, also when the browser hangs.
    process = await asyncio.create_subprocess_exec(
        *command, stdin=null, stdout=null, stderr=null, start_new_session=True
    )
    try:
        url = await _debugger_url(profile, lambda: process.returncode)
        async with aiohttp.ClientSession() as client, client.ws_connect(url, max_msg_size=0) as socket:
            browser = Browser(socket)
            yield browser
            await browser.aclose()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


async def _debugger_url(profile: Path, exit_code: Callable[[], int | None]) -> str:
    """Chromium writes its port and path into the profile once it listens."""
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError, ValueError):
            port, path = (profile / "DevToolsActivePort").read_text().split()
            return f"ws://127.0.0.1:{port}{path}"
        if exit_code() is not None:
            pytest.fail(f"Chromium ended with code {exit_code()} while starting")
        await asyncio.sleep(0.05)
    pytest.fail(f"Chromium did not start within {STARTUP_S:g} s")
