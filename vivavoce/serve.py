"""`vivavoce serve`: the composition root of the service."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import secrets
import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from connectors.documents import documents
from connectors.gateway import GatewayOptions, build_app
from connectors.udp import check_address
from connectors.webrtc import WebRtcWhip
from engine.config import Settings, check_reachable, describe_settings, is_loopback, load_settings
from engine.errors import ConfigError
from engine.hub import Hub
from engine.logs import LineThread, configure_logs
from engine.redis_server import RedisInfo, open_redis
from engine.scorer import Scorer
from engine.streams import Publisher, stream_name
from models.runtime import StateStore
from vivavoce import __version__, service_examination, service_model
from vivavoce.demo import play_samples
from vivavoce.desk import Desk
from vivavoce.metrics import Metrics

HELP = "run the service: RTP, WHIP, tags to Redis, and the operator's console"
SWITCH_S = 0.0005  # a scoring thread that comes back should not wait 5 ms for the interpreter
LAST_S = 0.2  # for the last tags
log = structlog.get_logger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; may be repeated")
    parser.add_argument("--demo", action="store_true", help="replay the three bundled calls as live RTP")
    parser.add_argument("--ready-file", type=Path, metavar="FILE", help="write the service's URL here once it is up")
    parser.epilog = settings_table()


def settings_table() -> str:
    """Every setting with default and unit, as `--help` ends."""
    lines = ["settings (file section.key, environment VIVAVOCE_SECTION_KEY, or --set):"]
    for doc in describe_settings():
        default = "unset" if doc.default in (None, "", ()) else f"{doc.default} {doc.unit}".strip()
        lines.append(f"  {doc.name:26} {doc.description} [{default}]")
    return "\n".join(lines)


def run(args: argparse.Namespace) -> int:
    settings = load_settings(args.config, os.environ, args.set)
    check_reachable(settings)
    check_address(settings.rtp.host)
    if args.ready_file is not None and not args.ready_file.parent.is_dir():
        raise ConfigError(f"--ready-file {args.ready_file}: there is no folder {args.ready_file.parent}")
    machines = settings.log.format == "json"  # read stdout: what is for people goes elsewhere
    with LineThread(sys.stdout) as lines, LineThread(sys.stderr) as others:
        configure_logs(settings.log.level, settings.log.format, pii=settings.log.pii, write=lines.write)
        say = others.write if machines else lines.write
        serving = serve(settings, say, demo=args.demo, ready_file=args.ready_file)
        try:
            import uvloop
        except ImportError:
            return asyncio.run(serving)
        return uvloop.run(serving)


@dataclass(frozen=True)
class Service:
    """The running parts."""

    url: str
    token: str
    desk: Desk
    redis: RedisInfo
    open: bool  # clients on this machine need no token


async def serve(
    settings: Settings, say: Callable[[str], None], *, demo: bool = False, ready_file: Path | None = None
) -> int:
    """Run until SIGINT or SIGTERM. `say` writes lines to whoever still reads, and waits for nobody."""
    stopped, hurried = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: (hurried if stopped.is_set() else stopped).set())
    async with AsyncExitStack() as stack:
        service = await start(settings, stack)
        say(_greeting(service, settings, demo))
        if ready_file is not None:
            ready_file.write_text(service.url)
        player = asyncio.create_task(play_samples(service.desk)) if demo else None
        await stopped.wait()
        if player is not None:
            player.cancel()
            await asyncio.gather(player, return_exceptions=True)
        say("\nending: no new calls, the running ones get their last tag")
        await service.desk.drain(settings.calls.drain_s, hurried)
        await asyncio.sleep(LAST_S)  # they are on their way to Redis and back, to whoever follows them
    say("ended")
    return 0


def _allow_descriptors() -> None:
    """As many as this user may have: a leg takes two sockets, and the usual 1024 would be 500 legs."""
    try:
        import resource
    except ImportError:  # not on this system
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def start(settings: Settings, stack: AsyncExitStack) -> Service:
    """Start every part in order; the stack ends them in the opposite one."""
    sys.setswitchinterval(SWITCH_S)
    _allow_descriptors()
    model = service_model.load(settings)
    state_dir = Path(settings.redis.state_dir) if settings.redis.state_dir else None
    redis = await stack.enter_async_context(open_redis(settings.redis.url, state_dir))
    metrics = Metrics()
    publisher = Publisher(
        redis.service_url, shard=settings.redis.shard, retention_s=settings.redis.retention_s,
        spool_max=settings.redis.spool_max, on_ack=metrics.on_ack,
    )  # fmt: skip
    await publisher.start()
    stack.push_async_callback(publisher.aclose)
    hub = Hub(redis.service_url, [stream_name(settings.redis.shard)])
    await hub.start()
    stack.push_async_callback(hub.aclose)
    capacity = settings.calls.max
    scorer = Scorer(
        model, StateStore(model, capacity), capacity=capacity, workers=service_model.worker_count(settings),
        batch=settings.model.batch, max_delay_s=settings.calls.max_delay_ms / 1000,
    )  # fmt: skip
    stack.push_async_callback(scorer.aclose)
    config = service_model.call_config(settings, model.info)
    examiner = await service_examination.start(settings, config, model, redis.service_url, stack)
    desk = Desk(settings, config, scorer, publisher.publish, examiner=examiner)
    desk.start()
    metrics.watch(desk, scorer, publisher, hub)
    token = settings.server.token or secrets.token_urlsafe(24)
    url = await _listen(settings, stack, Front(desk, metrics, publisher, redis), hub, token)
    stack.push_async_callback(hub.aclose)  # first of all: the server waits for those who still read
    gc.freeze()  # what lives as long as the service need not be walked by every collection
    return Service(url, token, desk, redis, settings.server.loopback_open)


class Front:
    """The gateway's CallDesk: the desk, with metrics and readiness beside it."""

    def __init__(self, desk: Desk, metrics: Metrics, publisher: Publisher, redis: RedisInfo) -> None:
        self.open_call = desk.open_call
        self.open_recording = desk.open_recording
        self.close_call = desk.close_call
        self.calls, self.call, self.thresholds = desk.calls, desk.call, desk.thresholds
        self.examination, self.examine = desk.examination, desk.examine
        self.metrics = metrics.render
        self._desk, self._publisher, self._redis = desk, publisher, redis

    def ready(self) -> dict[str, Any]:
        connected = self._publisher.stats.connected
        return {
            "ready": not self._desk.draining, "redis": self._redis.label, "redis_connected": connected,
            "durable": self._redis.durable, "version": __version__,
        }  # fmt: skip


async def _listen(settings: Settings, stack: AsyncExitStack, front: Front, hub: Hub, token: str) -> str:
    server, desk = settings.server, front._desk

    loopback = ["127.0.0.1"] if is_loopback(server.host) else None
    whip = WebRtcWhip(partial(desk.open_media, "webrtc"), limit=settings.calls.webrtc_max, host_addresses=loopback)
    stack.push_async_callback(whip.aclose)
    desk.browser_player = whip.player
    options = GatewayOptions(
        token=token, loopback_open=server.loopback_open, max_body_bytes=server.max_body_bytes,
        rate_limit_per_s=server.rate_limit_per_s, max_connections=server.max_connections,
        cors_origins=server.cors_origins, documents=documents(),
    )  # fmt: skip
    runner = web.AppRunner(build_app(front, hub, whip, options), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, server.host, server.port).start()
    except OSError as error:
        raise OSError(f"cannot listen on {server.host}:{server.port}: {error.strerror}") from None
    host, port = runner.addresses[0][:2]
    return f"http://{'[' + host + ']' if ':' in host else host}:{port}"


def _program() -> str:
    """How whoever started this can start it again: from a checkout nothing is on the PATH."""
    if shutil.which("vivavoce"):
        return "vivavoce"
    if sys.argv[0].endswith("__main__.py"):
        return f"{shlex.quote(sys.executable)} -m vivavoce"
    return shlex.quote(sys.argv[0])


def _follow(url: str, shard: int, *, own: bool) -> str:
    """The command that follows the tags. Our own Redis's password goes by the environment, which only its user can read,
    unlike a command line; a password of theirs is not ours to show, and they have it."""
    command = f"{_program()} tags" + (f" --shard {shard}" if shard else "")
    if own:
        return f"REDIS_URL={url} {command}"
    secret = "@" in url or "password=" in url
    return f"REDIS_URL=(your redis.url) {command}" if secret else f"{command} --redis {shlex.quote(url)}"


def _greeting(service: Service, settings: Settings, demo: bool) -> str:
    """What a person at the terminal needs to know. Our own token and password are for their eyes and go to no log; a token
    that was set they have."""
    url, token = service.url, "" if settings.server.token else service.token
    entry = url if service.open else f"{url}/#token={token}" if token else f"{url}/   asks for your server.token"
    bearer = token or "$TOKEN"
    auth = "" if service.open else f' -H "Authorization: Bearer {bearer}"'
    lines = [
        f"viva voce {__version__}",
        f"  console           {entry}",
        "  call in           press \"Call from this browser\" there (or c); a recording can be dropped on the page",
        f"  send RTP          curl -s{auth} -d '{{\"codec\":\"PCMU\"}}' {url}/v1/calls   answers with the UDP port",
        f"  send a file       curl -s{auth} --data-binary @call.wav '{url}/v1/recordings?name=call.wav'",
        "  a capture         the same with a .pcap, or: vivavoce screen call.pcap",
        f"  tags              {service.redis.label}, stream {stream_name(settings.redis.shard)}",
        f"                    {_follow(service.redis.url, settings.redis.shard, own=not settings.redis.url)}",
    ]
    if demo:
        lines.append("  demo              three calls are being played: two people, one synthesiser")
    lines.append("  stop              Ctrl-C")
    return "\n".join(lines)
