"""`vivavoce listen`: screen what the microphone hears."""

from __future__ import annotations

import argparse
import asyncio
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

HELP = "screen what the microphone hears (extra: microphone)"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", metavar="NAME", help="input device, by name or number (default: the system's)")
    parser.add_argument("--seconds", type=float, metavar="S", help="stop after S seconds (default: at Ctrl-C)")


def run(args: argparse.Namespace) -> int:
    return asyncio.run(_listen(args))


async def _listen(args: argparse.Namespace) -> int:
    settings = load_settings(None, os.environ)
    model = service_model.load(settings)
    scorer = Scorer(model, StateStore(model, 1), capacity=1)
    vad = webrtcvad.Vad(settings.calls.vad_mode)
    info = CallInfo("microphone", "caller", "microphone")
    call = Call(info, service_model.call_config(settings, model.info), vad.is_speech, time.monotonic())
    session = Session(call, scorer, _show)
    session.begin(time.monotonic())
    try:
        with open_microphone(session.on_frame, device=args.device):
            await asyncio.sleep(args.seconds if args.seconds else 1e9)
    finally:
        session.close("closed", time.monotonic())
        await scorer.aclose()
    return 0


def _show(tag: Tag, _: float) -> None:
    llr = "" if tag.llr is None else f"LLR {tag.llr:+.2f}"
    print(f"{tag.media_time_s:7.1f} s  {tag.text:16} {llr:10} {tag.net_speech_s:6.1f} s speech", flush=True)
