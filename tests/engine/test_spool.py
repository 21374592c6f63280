"""The waiting room: what goes when it is full."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.spool import Record, Spool


def record(number: int, kind: str = "score") -> Record:
    return Record((number, 0), "c", kind, b"{}", 0.0, 0.0)


def numbers(records: list[Record]) -> list[int]:
    return [r.id[0] for r in records]


def test_records_leave_in_order() -> None:
    spool = Spool(10)
    for number in range(5):
        spool.append(record(number))
    assert numbers(spool.take(3)) == [0, 1, 2]
    assert numbers(spool.take(9)) == [3, 4]
    assert len(spool) == 0


def test_what_did_not_arrive_goes_to_the_front_again() -> None:
    spool = Spool(10)
    for number in range(4):
        spool.append(record(number))
    taken = spool.take(2)
    spool.append(record(4))
    spool.put_back(taken)
    assert numbers(spool.take(9)) == [0, 1, 2, 3, 4]


def test_scores_go_before_tags() -> None:
    spool = Spool(3)
    for number, kind in enumerate(["tag", "score", "tag", "score", "end"]):
        spool.append(record(number, kind))
    assert numbers(spool.take(9)) == [0, 2, 4]
    assert (spool.dropped_scores, spool.dropped_tags) == (2, 0)


def test_the_oldest_tag_goes_when_only_tags_are_left() -> None:
    spool = Spool(2)
    for number in range(4):
        spool.append(record(number, "tag"))
    assert numbers(spool.take(9)) == [2, 3]
    assert spool.dropped_tags == 2


def test_the_oldest_record_is_known() -> None:
    spool = Spool(2)
    assert spool.oldest() is None
    for number in range(3):
        spool.append(record(number))
    oldest = spool.oldest()
    assert oldest is not None
    assert oldest.id == (1, 0)


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.sampled_from(["tag", "score", "end", "take", "back"]), st.integers(1, 5)), max_size=80),
)
def test_nothing_is_lost_uncounted_and_no_tag_while_a_score_remains(limit: int, steps: list[tuple[str, int]]) -> None:
    spool, taken, out, put = Spool(limit), [], [], 0
    for step, count in steps:
        if step == "take":
            out += taken
            taken = spool.take(count)
        elif step == "back":
            spool.put_back(taken)
            taken = []
        else:
            scores_before = sum(r.kind == "score" and not r.dropped for r in spool._records) + (step == "score")
            tags_before = spool.dropped_tags
            spool.append(record(put, step))
            put += 1
            assert spool.dropped_tags == tags_before or scores_before == 0
        assert len(spool) <= limit
    out += taken + spool.take(10_000)
    assert len(out) + spool.dropped_scores + spool.dropped_tags == put
    assert len({r.id for r in out}) == len(out)


def test_what_is_dropped_behind_records_that_wait_takes_no_room() -> None:
    """Redis is away for hours: tags wait in front, and a thousand calls' scores come and go behind them."""
    spool = Spool(100)
    for number in range(40):
        spool.append(record(number, "tag"))
    for number in range(40, 10_000):
        spool.append(record(number))
        if not number % 50:
            spool.put_back(spool.take(20))
    assert (len(spool), spool.dropped_scores, spool.dropped_tags) == (100, 9900, 0)
    assert len(spool._records) <= 200
    assert numbers(spool.take(100)) == [*range(40), *range(9940, 10_000)]
