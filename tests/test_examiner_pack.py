"""Examinations with a real prompt pack: what is checked before any call, and what happens when it goes away."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from challenges.content import clip_texts
from challenges.fusion import Judgement
from challenges.prompts import PromptPack
from engine.config import Examination
from tests.challenges.packs import make_pack
from tests.examined import Desk, Judge, Player
from vivavoce.examiner import load_pack


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_pack(folder, clip_texts("en", ["whisper"]), seconds=0.2)
    return folder


def test_a_pack_that_is_deleted_while_calls_run_leaves_the_asking_to_the_operator(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    shutil.copytree(made, folder)
    player = Player()
    desk = Desk(Judge(Judgement(None, None, None, None)), player=player, pool=("whisper",))
    desk.examiner._pack = PromptPack.load(folder)
    shutil.rmtree(folder)
    record = desk.examiner.press(desk.session, desk.now, "ask")
    assert record is not None
    assert (record["spoken_by"], record["reasons"]) == ("operator", ["prompt-failed"])
    assert record["sentence"].startswith("Please whisper")
    assert player.played == []
    assert desk.session.observer is not None, "the examination goes on"


def test_a_pack_is_loaded_only_when_something_may_be_asked_and_lacks_nothing_of_it(made: Path) -> None:
    assert load_pack(Examination(prompts="nowhere", mode="off")) is None
    assert load_pack(Examination()) is None
    assert load_pack(Examination(prompts=str(made), pool=("Whisper",))) is not None
    with pytest.raises(ValueError, match="no prompt pack"):
        load_pack(Examination(prompts="nowhere"))
    for lacking in (Examination(prompts=str(made)), Examination(prompts=str(made), pool=("03",), language="de")):
        with pytest.raises(ValueError, match=r"lacks \d+ prompts, the first: "):
            load_pack(lacking)


def test_every_language_of_a_pack_is_checked_since_a_call_may_be_in_any_of_them(made: Path, tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(made, pack)
    raw = json.loads((pack / "manifest.json").read_text())
    name, clip = next((name, clip) for name, clip in raw["clips"].items() if name.startswith("en/"))
    raw["clips"][name.replace("en/", "es/", 1)] = clip
    (pack / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(ValueError, match=r"lacks \d+ prompts, the first: .*es"):
        load_pack(Examination(prompts=str(pack), pool=("Whisper",)))
