"""`vivavoce listen`: screen what the microphone hears."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import time

import webrtcvad

from connectors.microphone import open_microphone
from engine.call import Call, CallInfo
from engine.config import load_settings
from engine.events import Tag
from engine.scorer import Scorer
from engine.session import Session
from models.runtime import StateStore
from vivavoce import service_model

TICK_S = 0.25  # how often a device that has gone quiet is looked for

HELP = "screen what the microphone hears (extra: microphone)"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", metavar="NAME", help="input device, by name or number (default: the system's)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after S seconds (default: at Ctrl-C)")


def run(args: argparse.Namespace) -> int:
    if args.seconds is not None and not args.seconds > 0:
        raise ValueError(f"--seconds {args.seconds} must be above 0")
    return asyncio.run(_listen(args))


async def _listen(args: argparse.Namespace) -> int:
    settings = load_settings(None, os.environ)
    model = service_model.load(settings)
    scorer = Scorer(model, StateStore(model, 1), capacity=1)
    vad = webrtcvad.Vad(settings.calls.vad_mode)
    info = CallInfo("microphone", "caller", "microphone")
    call = Call(info, service_model.call_config(settings, model.info), vad.is_speech, time.monotonic())
    session = Session(call, scorer, _show)
    try:
        with open_microphone(session.on_frame, device=args.device):
            session.begin(time.monotonic())
            try:
                await _tick(session, args.seconds or math.inf)
            finally:
                session.close("closed", time.monotonic())
    finally:
        await scorer.aclose()
    return 0


async def _tick(session: Session, seconds: float) -> None:
    """Wait; a device that is pulled out only falls silent, and its last tag must not stand."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(TICK_S, left))
        session.on_tick(time.monotonic())


def _show(tag: Tag, _: float) -> None:
    llr = "" if tag.llr is None else f"LLR {tag.llr:+.2f}"
    print(f"{tag.media_time_s:7.1f} s  {tag.text:16} {llr:10} {tag.net_speech_s:6.1f} s speech", flush=True)
