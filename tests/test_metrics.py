"""What Prometheus reads at /metrics: the very names that the code and the README list."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

from engine.spool import Record, Spool
from engine.streams import PublisherStats
from vivavoce.metrics import METRICS, Metrics


def rendered() -> str:
    """What a service with made-up counts tells."""
    load, shedding = SimpleNamespace(load=0.25), SimpleNamespace(unheard=7)
    desk: Any = SimpleNamespace(live=3, opened=5, refused=2, load=load, shedding=shedding)
    scorer: Any = SimpleNamespace(open_calls=4, scored=70, dropped=1, failed=0, batches=9, delay_s=0.01)
    publisher = SimpleNamespace(stats=PublisherStats(published=12, acked=11, connected=True), spool=Spool(10))
    metrics = Metrics()
    metrics.watch(desk, scorer, cast(Any, publisher), cast(Any, SimpleNamespace(clients=6)))
    metrics.on_ack(Record((1, 0), "c", "tag", b"{}", 100.0), 100.5)
    return metrics.render().decode()


def test_every_metric_is_told_by_the_name_it_is_listed_by() -> None:
    told = set(re.findall(r"^# TYPE (\S+)", rendered(), re.MULTILINE))
    assert {name for name in told if not name.endswith("_created")} == set(METRICS)


def test_counts_and_gauges_are_read_off_the_parts() -> None:
    lines = rendered().splitlines()
    for line in (
        "vivavoce_calls 3.0", "vivavoce_calls_opened_total 5.0", "vivavoce_records_published_total 12.0",
        "vivavoce_records_acked_total 11.0", "vivavoce_redis_up 1.0", "vivavoce_feed_clients 6.0",
        "vivavoce_publish_latency_seconds_count 1.0", "vivavoce_publish_latency_seconds_sum 0.5",
    ):  # fmt: skip
        assert line in lines
