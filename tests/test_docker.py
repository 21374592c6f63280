"""The compose file gives nobody more than is used, and Redis asks for the password that it names."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio as aioredis
from redis.exceptions import AuthenticationError, RedisError

from engine.config import load_settings

yaml = pytest.importorskip("yaml", reason="the extra 'test' brings it along")

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docker" / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PASSWORD = "0123456789abcdef"


def filled(text: str) -> str:
    """With compose's ${NAME} and ${NAME:?message} replaced, as compose does, and $$ made $."""
    known = {"REDIS_PASSWORD": PASSWORD, "VIVAVOCE_TOKEN": "a" * 48}
    return re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda found: known[found[1]], text).replace("$$", "$")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert not service.get("privileged")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 1024
    assert re.fullmatch(r"\d+[gm]", service["mem_limit"])


def test_nobody_is_root() -> None:
    assert SERVICES["redis"]["user"] == "redis"
    stages = (ROOT / "docker" / "Dockerfile").read_text().split("\nFROM ")
    assert re.search(r"^USER (?!root|0)\w+$", stages[-1], re.MULTILINE)


def test_nothing_is_published_beyond_this_machine() -> None:
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_secrets_have_no_default() -> None:
    assert set(re.findall(r"\$\{(\w+):\?", TEXT)) == {"REDIS_PASSWORD", "VIVAVOCE_TOKEN"}
    assert not re.search(r"\$\{\w+:?-", TEXT)


def test_the_service_takes_what_it_is_given() -> None:
    given = {name: filled(value) for name, value in SERVICES["vivavoce"]["environment"].items()}
    settings = load_settings(None, given, [])
    assert settings.redis.url == f"redis://:{PASSWORD}@127.0.0.1:6379/0"
    assert settings.server.token == "a" * 48
    assert SERVICES["vivavoce"]["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_the_files_that_the_image_is_made_of_are_there() -> None:
    assert (ROOT / "docker" / SERVICES["vivavoce"]["build"]["context"]).resolve() == ROOT
    dockerfile = (ROOT / SERVICES["vivavoce"]["build"]["dockerfile"]).read_text()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split()), sources


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
async def test_redis_asks_for_the_password_and_its_command_line_does_not_tell_it(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shell, option, script = map(filled, SERVICES["redis"]["command"])
    here = script.replace("redis-server -", f"redis-server - --bind 127.0.0.1 --port {port}", 1)
    surroundings = {**os.environ, "REDIS_PASSWORD": PASSWORD}
    process = await asyncio.create_subprocess_exec(
        shell, option, here, cwd=tmp_path, env=surroundings, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        client = aioredis.from_url(f"redis://:{PASSWORD}@127.0.0.1:{port}/0")
        assert await _answers(client)
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"
        await client.aclose()
        stranger = aioredis.from_url(f"redis://127.0.0.1:{port}/0")
        with pytest.raises(AuthenticationError):
            await stranger.ping()
        await stranger.aclose()
        line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"redis-server" in line, "the shell is gone: SIGTERM reaches Redis itself"
        assert PASSWORD.encode() not in line
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def _answers(client: aioredis.Redis) -> bool:
    """Once it is up, within ten seconds."""
    for _ in range(100):
        try:
            return bool(await client.ping())
        except AuthenticationError:
            raise
        except RedisError:
            await asyncio.sleep(0.1)
    return False
