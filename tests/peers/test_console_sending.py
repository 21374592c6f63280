"""What the console sends: recordings, a call from the microphone; and that it asks nobody else for anything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from tests.peers.chromium import Page
from tests.peers.console_page import text
from tests.peers.console_service import CONSOLE, ConsoleService

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]


# what the browser sends


async def test_recording_is_sent_as_it_is(page: Page, service: ConsoleService, tmp_path: Path) -> None:
    recording = tmp_path / "Anruf & Rückruf 1.wav"
    recording.write_bytes(bytes(range(256)) * 700)
    await page.choose_file("#file", recording)
    await page.wait_for(f"{text('#intake')}.includes('Playing as a live call')")
    assert service.uploads == [({"pace": "realtime", "name": recording.name}, recording.read_bytes())]


async def test_dropped_recording_is_sent(page: Page, service: ConsoleService) -> None:
    await page.eval("""(() => {
        const files = new DataTransfer();
        files.items.add(new File(['RIFF-bytes'], 'dropped.wav'));
        for (const type of ['dragenter', 'dragover', 'drop'])
            document.body.dispatchEvent(new DragEvent(type, {dataTransfer: files, bubbles: true, cancelable: true}));
    })()""")
    await page.wait_for(f"{text('#intake')}.includes('Playing as a live call')")
    assert service.uploads == [({"pace": "realtime", "name": "dropped.wav"}, b"RIFF-bytes")]
    assert await page.eval("document.querySelector('#veil').hidden")


async def test_refused_recording_says_why(page: Page, service: ConsoleService, tmp_path: Path) -> None:
    service.refuse_upload = (422, "The file holds no audio that can be read.")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"nothing")
    await page.choose_file("#file", broken)
    await page.wait_for(f"{text('#intake .failed')}.includes('The file holds no audio that can be read.')")


async def test_empty_file_is_refused_at_once(page: Page, service: ConsoleService, tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    empty.touch()
    await page.choose_file("#file", empty)
    await page.wait_for(f"{text('#intake .failed')}.includes('This file is empty.')")
    assert service.uploads == []


async def test_refused_call_says_why_and_can_be_tried_again(page: Page, service: ConsoleService) -> None:
    await page.press("c")
    await page.wait_for(f"{text('#intake .failed')}.includes('All places are taken')", timeout=15)
    assert service.offers[0].startswith("v=0")
    assert "a=sendrecv" in service.offers[0]
    assert "opus" in service.offers[0]
    assert not await page.eval("document.querySelector('#call').disabled")


async def test_call_from_the_browser_with_level_meter_and_hang_up(
    page: Page, service: ConsoleService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    peer = RTCPeerConnection()
    tracks: list[Any] = []
    peer.on("track", tracks.append)

    async def answer(offer: str) -> str:
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return str(peer.localDescription.sdp)

    service.answer = answer
    asked = "navigator.mediaDevices.getUserMedia"
    await page.eval(
        f"(() => {{ const ask = {asked}.bind(navigator.mediaDevices); {asked} = c => (window.asked = c, ask(c)); }})()"
    )
    await page.click("#call")
    try:
        await page.wait_for(f"{text('.strip.call')}.includes('On the line')", timeout=15)
        processing = await page.eval(
            "[asked.audio.echoCancellation, asked.audio.noiseSuppression, asked.audio.autoGainControl]"
        )
        assert processing == [False, False, False]
        await page.wait_for("Number(document.querySelector('[role=meter]').ariaValueNow) > 40")
        frame = await asyncio.wait_for(tracks[0].recv(), 5)
        assert frame.samples == 960
        await page.press("c")
        assert await page.eval("document.activeElement.innerText") == "Hang up"
        await page.press("Enter")
        await page.wait_for(f"{text('.strip.call')}.includes('You hung up')")
        for _ in range(100):
            if service.deleted:
                break
            await asyncio.sleep(0.02)
        assert service.deleted == ["browser-1"]
    finally:
        await peer.close()


# the files


async def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    html = (CONSOLE / "index.html").read_text()
    assert "<style" not in html
    assert "style=" not in html
    assert " on" + "click" not in html
    assert html.count("<script") == html.count('<script type="module" src="console/console.js"></script>') == 1
    for path in [*CONSOLE.glob("*.js"), *CONSOLE.glob("*.css"), CONSOLE / "index.html"]:
        source = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in source, path.name
        assert "https://" not in source, path.name
        assert "innerHTML" not in source, path.name
        assert "insertAdjacentHTML" not in source, path.name
        assert path.suffix != ".js" or len(source.splitlines()) < 250, path.name
