"""ASVspoof 2019 LA, 2021 LA, 2021 DF and 5 on made-up trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.datasets import READERS, detect, read
from models.datasets.asvspoof import PHONE_LIKE_5, enrolment
from models.datasets.base import refuse
from tests.models.datasets.trees import by_stem, complaints, plant

PROTOCOLS = "LA/ASVspoof2019_LA_cm_protocols/ASVspoof2019.LA.cm"
TRAIN_19 = {f"{PROTOCOLS}.train.trn.txt": "LA_0001 LA_T_0000001 - A03 spoof\nLA_0002 LA_T_0000002 - - bonafide\n"}
LA_21 = (
    "LA_0001 LA_E_0000001 alaw ita_tx A07 spoof notrim eval\n"
    "LA_0002 LA_E_0000002 none loc_tx bonafide bonafide notrim progress\n"
    "LA_0002 LA_E_0000003 opus mad_tx bonafide bonafide trim hidden\n"
)
DF_21 = (
    "LA_0001 DF_E_0000001 low_mp3 asvspoof A09 spoof notrim eval traditional_vocoder - - - -\n"
    "TEF1 DF_E_0000002 nocodec vcc2020 bonafide bonafide notrim eval bonafide - - - -\n"
)


def test_2019_fields_and_paths(tmp_path: Path) -> None:
    plant(tmp_path, **TRAIN_19, **{f"{PROTOCOLS}.eval.trl.txt": "LA_0009 LA_E_0000001 - A19 spoof\n"})
    assert detect(tmp_path) == "asvspoof2019-la"
    clips = by_stem(tmp_path)
    fake, person = clips["LA_T_0000001"], clips["LA_T_0000002"]
    assert fake.path == tmp_path / "LA/ASVspoof2019_LA_train/flac/LA_T_0000001.flac"
    assert (fake.label, fake.split, fake.generator, fake.speaker) == ("spoof", "train", "A03", "LA_0001")
    assert (person.label, person.generator) == ("bonafide", "")
    assert clips["LA_E_0000001"].split == "eval"


@pytest.mark.parametrize("root", ["", "LA"])
def test_2019_may_be_given_by_either_folder(tmp_path: Path, root: str) -> None:
    plant(tmp_path, **TRAIN_19)
    assert len(list(read(tmp_path / root))) == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("LA_0001 LA_T_0000001 - A03", "line 1: 4 columns instead of 5"),
        ("LA_0001 LA_T_0000001 - A03 fake", "line 1: key 'fake' is none of bonafide, spoof"),
        ("LA_0001 LA_T_0000001 - A03 bonafide", "line 1: key 'bonafide' cannot go with attack 'A03'"),
        ("LA_0001 LA_T_0000001 - - spoof", "line 1: key 'spoof' cannot go with attack '-'"),
    ],
)
def test_2019_bad_lines_are_named(tmp_path: Path, line: str, said: str) -> None:
    plant(tmp_path, **{f"{PROTOCOLS}.train.trn.txt": line + "\n"})
    with pytest.raises(ValueError, match=said):
        list(read(tmp_path))
    assert len(complaints(tmp_path)) == 1


def test_2019_enrolment_is_nobody_s_trial() -> None:
    unlabelled = READERS["asvspoof2019-la"].unlabelled
    assert unlabelled(Path(), Path("flac/LA_D_A0000001.flac"))
    assert not unlabelled(Path(), Path("flac/LA_D_0000001.flac"))


def test_2021_la_scores_only_eval(tmp_path: Path) -> None:
    plant(tmp_path, **{"keys/LA/CM/trial_metadata.txt": LA_21})
    assert detect(tmp_path) == "asvspoof2021-la"
    clips = by_stem(tmp_path)
    assert [clip.split for clip in clips.values()] == ["eval", "progress", "hidden"]
    fake = clips["LA_E_0000001"]
    assert fake.path == tmp_path / "ASVspoof2021_LA_eval/flac/LA_E_0000001.flac"
    assert (fake.codec, fake.generator) == ("alaw", "A07")
    assert (clips["LA_E_0000002"].codec, clips["LA_E_0000002"].generator) == ("", "")


def test_2021_la_an_unknown_subset_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, **{"keys/LA/CM/trial_metadata.txt": LA_21.replace("progress", "test")})
    assert complaints(tmp_path) == [
        f"{tmp_path}/keys/LA/CM/trial_metadata.txt, line 2: subset 'test' is none of eval, progress, hidden"
    ]


def test_2021_df_fields(tmp_path: Path) -> None:
    plant(tmp_path, **{"keys/DF/CM/trial_metadata.txt": DF_21})
    clips = by_stem(tmp_path)
    fake, person = clips["DF_E_0000001"], clips["DF_E_0000002"]
    assert (fake.codec, fake.family, fake.repo) == ("low_mp3", "traditional_vocoder", "asvspoof2021-df/asvspoof")
    assert (person.codec, person.family, person.repo) == ("", "", "asvspoof2021-df/vcc2020")


def test_2021_without_keys_says_so(tmp_path: Path) -> None:
    plant(tmp_path, "ASVspoof2021_DF_eval/flac/DF_E_0000001.flac")
    with pytest.raises(ValueError, match=r"keys/DF/CM/trial_metadata\.txt is missing"):
        list(read(tmp_path))


def test_both_tracks_of_2021_in_one_folder_need_a_name(tmp_path: Path) -> None:
    plant(tmp_path, **{"keys/LA/CM/trial_metadata.txt": LA_21, "keys/DF/CM/trial_metadata.txt": DF_21})
    with pytest.raises(ValueError, match="looks like asvspoof2021-la and asvspoof2021-df"):
        list(read(tmp_path))
    assert len(list(read(tmp_path, "asvspoof2021-df"))) == 2


def test_five_is_split_at_spaces_whatever_its_name_says(tmp_path: Path) -> None:
    plant(
        tmp_path,
        "flac_D/D_0000000002.flac",
        **{
            "ASVspoof5_protocols/ASVspoof5.dev.track_1.tsv": "D_0001 D_0000000002 F - - - AC1 A11 spoof -\n",
            "ASVspoof5_protocols/ASVspoof5.eval.track_1.tsv": (
                "E_0001 E_0000000002 M C05 2 E_0000000003 AC1 A26 spoof -\n"
                "E_0002\tE_0000000004\tF C09 1 E_0000000005 - bonafide bonafide -\n"
            ),
        },
    )
    clips = by_stem(tmp_path)
    fake, person = clips["E_0000000002"], clips["E_0000000004"]
    assert clips["D_0000000002"].path == tmp_path / "flac_D/D_0000000002.flac"
    assert fake.path == tmp_path / "flac_E_eval/E_0000000002.flac"
    assert (fake.gender, fake.codec, fake.generator, fake.split) == ("m", "mp3", "A26", "eval")
    assert (person.codec, person.generator, person.label) == ("amr-nb", "", "bonafide")
    assert person.codec in PHONE_LIKE_5


def test_five_s_early_release_has_six_columns_and_another_name(tmp_path: Path) -> None:
    plant(
        tmp_path,
        **{"ASVspoof5.train.metadata.txt": "T_0001 T_0000000001 F - A05 spoof\nT_0002 T_0000000002 M - - bonafide\n"},
    )
    clips = by_stem(tmp_path)
    assert [(c.generator, c.label, c.gender) for c in clips.values()] == [("A05", "spoof", "f"), ("", "bonafide", "m")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("D_0001 D_1 F - - AC1 A11 spoof -", "9 columns instead of 10 or 6"),
        ("D_0001 D_1 F C99 - - AC1 A11 spoof -", "codec 'C99'"),
        ("D_0001 D_1 X - - - AC1 A11 spoof -", "gender 'X'"),
    ],
)
def test_five_s_bad_lines_are_named(tmp_path: Path, line: str, said: str) -> None:
    plant(tmp_path, **{"ASVspoof5.dev.track_1.tsv": line})
    with pytest.raises(ValueError, match=rf"track_1\.tsv, line 1: {said}"):
        list(read(tmp_path))


def test_five_s_second_track_adds_only_what_the_first_does_not_list(tmp_path: Path) -> None:
    plant(
        tmp_path,
        **{
            "ASVspoof5.dev.track_1.tsv": "D_0001 D_1 F - - - AC1 A11 spoof -\n",
            "ASVspoof5.dev.track_2.enroll.tsv": "D_0001 D_7,D_8,D_1\n",
            "ASVspoof5.dev.track_2.trial.tsv": "D_0001 D_1 F A11 spoof\nD_0001 D_9 F bonafide nontarget\n",
        },
    )
    clips = by_stem(tmp_path)
    assert [clip.path.stem for clip in read(tmp_path)] == ["D_1", "D_7", "D_8", "D_9"]
    assert clips["D_8"].bonafide
    assert clips["D_8"].speaker == "D_0001"
    assert clips["D_9"].bonafide
    assert clips["D_9"].speaker == "", "a nontarget trial names the claimed speaker, not who speaks"


def test_enrolment_names_stand_between_commas(tmp_path: Path) -> None:
    path = plant(tmp_path, **{"enroll.tsv": "E_0001 E_1,E_2,E_3\n"}) / "enroll.tsv"
    assert list(enrolment(path, refuse)) == [("E_0001", ["E_1", "E_2", "E_3"])]
