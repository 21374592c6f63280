"""The caller of an examination in a browser: what the fake microphone says, when it is silent, and what is heard."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
from scipy.signal import correlate, resample_poly

from connectors.files import open_recording
from connectors.g711 import decode_mu_law
from tests.challenges.voices import whisper
from tests.connectors.test_files import write_wav
from tests.peers.chromium import Page
from vivavoce.samples import SAMPLES, mu_law
from vivavoce.voices import resample

Samples = np.ndarray
RATE = 8000
SPEECH_S = 7.0  # of a person; what follows, until the end of the file, is made whispers with pauses between them
WHISPERS, WHISPER_S, PAUSE_S = 30, 2.5, 2.5
NOISE = 15.0  # of the line, int16
# How fast a busy machine gets to the answer is unknown, so the caller has a hand on the microphone: closed, it lets
# nothing but the line's noise through.
HAND = """(() => {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wishes) => {
    const context = new AudioContext({ sampleRate: 48000 }), line = context.createMediaStreamDestination();
    const noise = new AudioBufferSourceNode(context, { buffer: context.createBuffer(1, 48000, 48000), loop: true });
    noise.buffer.getChannelData(0).forEach((_, at, samples) => { samples[at] = (Math.random() - 0.5) * 0.006; });
    noise.connect(line);
    noise.start();
    window.hand = context.createGain();
    context.createMediaStreamSource(await open(wishes)).connect(hand).connect(line);
    return line.stream;
  };
})()"""
EAR = """(() => {
  window.ear = new MediaRecorder(document.querySelector("#prompt-audio").srcObject, { audioBitsPerSecond: 96000 });
  ear.start();
})()"""
HEARD = """new Promise((resolve) => {
  ear.ondataavailable = ({ data }) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.split(",")[1]);
    reader.readAsDataURL(data);
  };
  ear.stop();
})"""


def microphone(path: Path) -> Path:
    """48 kHz, as Chromium plays it."""
    person = next(sample for sample in SAMPLES if sample.name == "person-1")
    speech = decode_mu_law(mu_law(person.path))[: round(SPEECH_S * RATE)]
    pause = np.random.default_rng(3).standard_normal(round(PAUSE_S * RATE)) * NOISE
    said = np.concatenate([speech, *[pause, 2.5 * whisper(WHISPER_S)] * WHISPERS])
    wide = resample_poly(said.astype(float), 6, 1).clip(-32768, 32767)
    return write_wav(path, [wide.astype(np.int16)], 48000)


async def keep_silent(page: Page, silent: bool) -> None:
    await page.eval(f"hand.gain.value = {int(not silent)}")


async def listen(page: Page) -> None:
    """From now on what the page's caller hears is kept, as the console's own audio element is given it."""
    await page.wait_for("Boolean(document.querySelector('#prompt-audio').srcObject)")
    await page.eval(EAR)


async def heard_by(page: Page, folder: Path) -> Samples:
    """All that was heard since, int16 at 8 kHz."""
    file = folder / "heard.webm"
    file.write_bytes(base64.b64decode(await page.eval(HEARD)))
    frames = list(open_recording(file).frames("caller"))
    return resample(np.concatenate([frame.samples for frame in frames]), frames[0].rate, RATE)


def alike(received: Samples, clip: Samples) -> tuple[float, int]:
    """How surely `clip` stands somewhere in `received`, 0 to 1 by its normalised correlation, and at which sample."""
    heard, sought = received.astype(float), clip.astype(float)
    found = correlate(heard, sought, "valid", "fft")
    power = correlate(heard**2, np.ones(len(sought)), "valid", "fft").clip(min=len(sought) * 100.0)
    shares = np.abs(found) / np.sqrt(power * (sought**2).sum())
    return float(shares.max()), int(shares.argmax())
