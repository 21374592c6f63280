"""What the service tells whoever starts it."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest

from engine.config import load_settings
from engine.redis_server import RedisInfo
from vivavoce.serve import Service, _allow_descriptors, _greeting


def greeting(redis_url: str, setting: str, *more: str, token: str = "token") -> str:
    desk: Any = None
    service = Service("http://127.0.0.1:1", token, desk, RedisInfo(redis_url, "a Redis", durable=True), open=False)
    return _greeting(service, load_settings(None, {}, [f"redis.url={setting}", *more]), demo=False)


def test_the_tags_of_our_own_redis_are_followed_by_one_line_with_its_password() -> None:
    url = "redis://:sesame@127.0.0.1:7/0"
    assert f" REDIS_URL={url} " in greeting(url, "")


@pytest.mark.parametrize("url", ["redis://me:sesame@h:7/0", "redis://h:7/0?password=sesame"])
def test_a_password_of_theirs_is_not_shown(url: str) -> None:
    said = greeting(url, url)
    assert " REDIS_URL=(your redis.url) " in said
    assert "sesame" not in said


def test_a_redis_of_theirs_without_a_password_is_named_as_a_shell_takes_it() -> None:
    assert " tags --redis redis://h:7/0\n" in greeting("redis://h:7/0", "redis://h:7/0")
    url = "redis://h:7/0?protocol=2&db=1"
    assert f" tags --redis '{url}'\n" in greeting(url, url)


def test_another_shard_is_followed_by_its_number() -> None:
    assert " tags --shard 3\n" in greeting("redis://:x@127.0.0.1:7/0", "", "redis.shard=3")


def test_a_token_that_was_set_is_not_said_again() -> None:
    said = greeting("redis://127.0.0.1:7/0", "", "server.token=sesame", token="sesame")
    assert "sesame" not in said
    assert "asks for your server.token" in said
    assert '-H "Authorization: Bearer $TOKEN"' in said
    assert "/#token=made-up" in greeting("redis://127.0.0.1:7/0", "", token="made-up")


def test_a_service_may_open_as_many_files_as_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    set_to = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 20000))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: set_to.append((which, limits)))
    _allow_descriptors()
    assert set_to == [(resource.RLIMIT_NOFILE, (20000, 20000))]
    monkeypatch.setattr(resource, "setrlimit", Mock(side_effect=ValueError("not allowed")))
    _allow_descriptors()
