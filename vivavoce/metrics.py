"""What Prometheus is told of a service: counts, depths, and how long a tag takes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from engine.hub import Hub
from engine.scorer import Scorer
from engine.spool import Record
from engine.streams import Publisher
from vivavoce.desk import Desk

# 1 ms to 60 s, each 7 % wider than the one before: a quantile read off them is within 7 %.
BUCKETS = tuple(0.001 * 1.07**k for k in range(164))

METRICS = {
    "vivavoce_calls": "calls running now",
    "vivavoce_legs": "legs open now",
    "vivavoce_legs_unheard": "legs among them that are not listened to just now, for want of time",
    "vivavoce_calls_opened_total": "calls opened since the start",
    "vivavoce_calls_refused_total": "calls refused for want of room or time",
    "vivavoce_chunks_scored_total": "chunks that went through the model",
    "vivavoce_chunks_dropped_total": "chunks dropped because the model was late",
    "vivavoce_chunks_failed_total": "chunks the model failed on",
    "vivavoce_batches_total": "model runs",
    "vivavoce_score_delay_seconds": "running mean: chunk complete to score",
    "vivavoce_load": "share in use of what is scarcest: calls.max_load, the loop's core or the scoring threads",
    "vivavoce_records_published_total": "records given to the publisher",
    "vivavoce_records_acked_total": "records Redis has acknowledged",
    "vivavoce_records_duplicate_total": "records Redis refused as already there",
    "vivavoce_records_replayed_total": "records offered again after Redis restarted",
    "vivavoce_scores_dropped_total": "score updates dropped from a full spool",
    "vivavoce_tags_dropped_total": "changes of tag dropped from a full spool",
    "vivavoce_spool_depth": "records waiting for Redis",
    "vivavoce_redis_up": "1 while Redis answers",
    "vivavoce_feed_clients": "readers of the event feeds",
    "vivavoce_publish_latency_seconds": "last packet of a chunk in, record acknowledged by Redis",
}


class Metrics(Collector):
    """Reads the parts' own counters when asked; nothing is counted twice."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        name = "vivavoce_publish_latency_seconds"
        self._latency = Histogram(name, METRICS[name], buckets=BUCKETS, registry=self.registry)
        self._parts: tuple[Desk, Scorer, Publisher, Hub] | None = None

    def watch(self, desk: Desk, scorer: Scorer, publisher: Publisher, hub: Hub) -> None:
        self._parts = (desk, scorer, publisher, hub)
        self.registry.register(self)

    def on_ack(self, record: Record, now: float) -> None:
        self._latency.observe(now - record.arrived)

    def render(self) -> bytes:
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        if self._parts is None:
            return
        desk, scorer, publisher, hub = self._parts
        stats, spool = publisher.stats, publisher.spool
        yield _gauge("vivavoce_calls", desk.live)
        yield _gauge("vivavoce_legs", scorer.open_calls)
        yield _gauge("vivavoce_legs_unheard", desk.shedding.unheard)
        yield _counter("vivavoce_calls_opened_total", desk.opened)
        yield _counter("vivavoce_calls_refused_total", desk.refused)
        yield _counter("vivavoce_chunks_scored_total", scorer.scored)
        yield _counter("vivavoce_chunks_dropped_total", scorer.dropped)
        yield _counter("vivavoce_chunks_failed_total", scorer.failed)
        yield _counter("vivavoce_batches_total", scorer.batches)
        yield _gauge("vivavoce_score_delay_seconds", scorer.delay_s)
        yield _gauge("vivavoce_load", desk.load.load)
        yield _counter("vivavoce_records_published_total", stats.published)
        yield _counter("vivavoce_records_acked_total", stats.acked)
        yield _counter("vivavoce_records_duplicate_total", stats.refused_duplicates)
        yield _counter("vivavoce_records_replayed_total", stats.replayed)
        yield _counter("vivavoce_scores_dropped_total", spool.dropped_scores)
        yield _counter("vivavoce_tags_dropped_total", spool.dropped_tags)
        yield _gauge("vivavoce_spool_depth", len(spool))
        yield _gauge("vivavoce_redis_up", int(stats.connected))
        yield _gauge("vivavoce_feed_clients", hub.clients)


def _gauge(name: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, METRICS[name], value=value)


def _counter(name: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(name, METRICS[name], value=value)
