"""Examinations over HTTP: where one stands, and an operator's decisions."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from challenges.examination import Examination, ExaminationConfig
from challenges.languages import LANGUAGES
from challenges.stages import Press
from connectors.documents import schemas
from connectors.requests import Action, BadRequestError, ExaminationRequest, decode
from tests.connectors.gateway import AUTH, Setup
from tests.connectors.test_gateway import ask

PATH = "/v1/calls/pbx-1/examination"
IDLE = Examination(ExaminationConfig(), lambda *_: None, 0.64, can_play=False).record(0.0)


@pytest.fixture
async def live(gate: Setup) -> Setup:
    """A gateway with one call on the line, whose caller has not been asked anything."""
    await ask(gate, "POST", "/v1/calls", 201, json={"call_id": "pbx-1", "legs": ["caller", "agent"]})
    gate.desk.record = IDLE
    return gate


async def test_the_record_of_the_caller_s_leg_is_shown(live: Setup) -> None:
    shown = await ask(live, "GET", PATH, 200)
    assert shown == IDLE
    assert (shown["state"], shown["spoken_by"], shown["llr"]) == ("idle", "operator", None)


async def test_another_leg_is_asked_for_by_name(live: Setup) -> None:
    await ask(live, "POST", f"{PATH}?leg=agent", 200, json={"action": "ask"})
    await ask(live, "POST", PATH, 200, json={"action": "ask"})
    assert [leg for _, leg, _ in live.desk.examined] == ["agent", "caller"]
    await ask(live, "GET", f"{PATH}?leg=boss", 404)


async def test_every_word_of_a_decision_reaches_the_desk_and_the_record_comes_back(live: Setup) -> None:
    body = {
        "action": "override", "challenge": "whisper", "language": "fr", "who": "Ada", "verdict": "human-likely",
        "why": "I know her",
    }  # fmt: skip
    live.desk.record = IDLE | {"state": "over", "by": "operator", "who": "Ada"}
    assert (await ask(live, "POST", PATH, 200, json=body))["who"] == "Ada"
    assert live.desk.examined == [("pbx-1", "caller", ExaminationRequest(**body))]


async def test_a_call_that_is_not_there_is_named(live: Setup) -> None:
    for method in ("GET", "POST"):
        error = (await ask(live, method, "/v1/calls/gone/examination", 404, json={"action": "ask"}))["error"]
        assert error["message"] == "there is no call 'gone'"


async def test_a_call_that_cannot_be_examined_is_not_called_missing(live: Setup) -> None:
    live.desk.record = None
    for method in ("GET", "POST"):
        error = (await ask(live, method, PATH, 404, json={"action": "ask"}))["error"]
        assert "examinations are off" in error["message"]


async def test_what_cannot_be_done_now_is_a_conflict_with_the_desk_s_sentence(live: Setup) -> None:
    live.desk.not_now = "a question is answering already"
    for method in ("GET", "POST"):
        error = (await ask(live, method, PATH, 409, json={"action": "ask"}))["error"]
        assert error == {"code": "not-now", "message": "a question is answering already", "field": ""}


async def test_what_can_never_be_done_is_a_bad_request(live: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BadRequestError("challenge 'juggle' is none of ...", "challenge")

    monkeypatch.setattr(live.desk, "examine", refuse)
    error = (await ask(live, "POST", PATH, 400, json={"action": "ask", "challenge": "juggle"}))["error"]
    assert (error["code"], error["field"]) == ("bad-request", "challenge")


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "", "missing required field `action`"),
        ({"action": "shout"}, "action", "allowed: accept or answering or ask or override or repeat or skip or stop"),
        ({"action": "ask", "chalenge": "whisper"}, "chalenge", "unknown field `chalenge`; allowed are action, challenge"),
        ({"action": "ask", "challenge": "w" * 41}, "challenge", "allowed: 0 to 40 characters"),
        ({"action": "ask", "language": "xx"}, "language", "allowed: de or en or es or fr"),
        ({"action": "skip", "who": "A" * 81}, "who", "allowed: 0 to 80 characters"),
        ({"action": "override", "verdict": "human"}, "verdict", "deepfake-likely or human-likely or uncertain"),
        ({"action": "override"}, "verdict", "override needs a verdict: human-likely, deepfake-likely or uncertain"),
        ({"action": "override", "why": "y" * 401}, "why", "allowed: 0 to 400 characters"),
    ],
)
async def test_a_bad_decision_is_refused_by_name(live: Setup, body: dict[str, Any], field: str, words: str) -> None:
    error = (await ask(live, "POST", PATH, 400, json=body))["error"]
    assert (error["code"], error["field"]) == ("bad-request", field)
    assert words in error["message"]
    assert not live.desk.examined


async def test_a_body_has_the_limit_of_all_bodies(live: Setup) -> None:
    await ask(live, "POST", PATH, 413, data=b" " * 70_000)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nobody_examines_without_the_token(live: Setup, method: str) -> None:
    async with live.client.request(method, PATH, json={"action": "ask"}) as response:
        assert response.status == 401
    assert not live.desk.examined


async def test_another_site_s_page_cannot_press_with_the_operator_s_cookie(live: Setup) -> None:
    async with live.client.post("/v1/session", json={"token": AUTH["Authorization"].removeprefix("Bearer ")}) as response:
        cookie = response.headers["Set-Cookie"].partition(";")[0]
    for origin, status in (("https://evil.example", 401), (str(live.client.make_url("/")).rstrip("/"), 200)):
        headers = {"Cookie": cookie, "Origin": origin}
        async with live.client.post(PATH, json={"action": "ask"}, headers=headers) as response:
            assert response.status == status, await response.text()
    assert len(live.desk.examined) == 1


def test_the_decisions_are_those_of_the_state_machine() -> None:
    assert get_args(Action) == tuple(str(press) for press in Press)


def test_the_languages_are_those_that_questions_exist_in() -> None:
    language = schemas()["ExaminationRequest"]["properties"]["language"]["anyOf"]
    assert {name for choice in language for name in choice.get("enum", ())} == set(LANGUAGES)


@pytest.mark.parametrize("length", [0, 80])
def test_what_is_left_out_is_none_and_what_fits_is_kept(length: int) -> None:
    wanted = decode(b'{"action": "ask", "who": "%s"}' % (b"A" * length), ExaminationRequest)
    assert (wanted.who, wanted.challenge, wanted.why) == ("A" * length, None, None)
    with pytest.raises(BadRequestError):
        decode(b'{"action": "ask", "who": "%s"}' % (b"A" * 81), ExaminationRequest)
