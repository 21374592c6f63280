"""An evaluation as one HTML page that needs nothing else: DET curves, EER over seconds, tables, the robustness grid."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from models.metrics import det_points
from vivavoce import evaluation_tables as tables
from vivavoce.evaluation_lived import Scored

WIDTH, HEIGHT, MARGIN = 520, 320, 48
COLOURS = ("#1b6ca8", "#c2511d", "#3f7d3a", "#7a4fa0")
STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif}
.names td,.names th{text-align:left}h2{margin-top:2rem}.cell{min-width:4rem}"""


def page(report: dict[str, Any], scored: Sequence[tuple[str, Sequence[Scored]]]) -> str:
    """The whole page. `scored` holds the trials behind each condition of the report."""
    parts = [f"<h1>{escape(report['model'])} on {escape(report['split'])}</h1>"]
    if scored:
        parts += ["<h2>Detection error trade-off, whole clips</h2>", _det(scored), "<h2>EER over speech</h2>", _seconds(report)]
    for condition, found in report["conditions"].items():
        parts += [
            f"<h2>{escape(condition)}</h2>",
            tables.lengths(found),
            "<h3>EER by generator family</h3>",
            tables.families(found),
        ]
        parts += ["<h3>On the way: alarms and time to detect</h3>", tables.alarms(found), tables.times(found)]
        parts += ["<h3>Who is accused, whole clips, with 95 % intervals</h3>", tables.worst(found), tables.subgroups(found)]
    for condition, paths in report.get("copies", {}).items():
        parts += [f"<h2>Real clips against copies of them, {escape(condition)}</h2>", tables.copies(paths)]
    if "robustness" in report:
        parts += ["<h2>Robustness: EER % by corruption and level</h2>", _grid(report["robustness"])]
    parts += ["<h2>What the figures mean</h2>", tables.names(report.get("names", {}))]
    title = f"<title>viva voce: {escape(report['model'])}</title>"
    head = f'<!doctype html><html lang="en"><meta charset="utf-8">{title}<style>{STYLE}</style>'
    return head + "\n".join(parts) + "</html>\n"


def _plot(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], across: str, up: str, ticks: Sequence[str]) -> str:
    """Curves of points in 0-1 with a legend; `ticks` are the labels under the horizontal axis, evenly spread."""
    inner_w, inner_h = WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN
    out = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{escape(up)} over {escape(across)}">']
    for k in range(6):
        y = MARGIN + inner_h * (1 - k / 5)
        out.append(f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{MARGIN - 6}" y="{y + 4:.1f}" text-anchor="end">{20 * k} %</text>')
    for k, tick in enumerate(ticks):
        x = MARGIN + inner_w * k / max(1, len(ticks) - 1)
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - MARGIN + 16}" text-anchor="middle">{escape(tick)}</text>')
    for (name, points), colour in zip(lines, COLOURS, strict=False):
        path = " ".join(f"{MARGIN + inner_w * x:.1f},{MARGIN + inner_h * (1 - y):.1f}" for x, y in points)
        row = MARGIN + 14 * lines.index((name, points))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{WIDTH - MARGIN}" y="{row}" text-anchor="end" fill="{colour}">{escape(name)}</text>')
    out.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(across)}</text>')
    turn = f'transform="rotate(-90 14 {HEIGHT / 2})" text-anchor="middle"'
    out.append(f'<text x="14" y="{HEIGHT / 2}" {turn}>{escape(up)}</text></svg>')
    return "".join(out)


def _det(scored: Sequence[tuple[str, Sequence[Scored]]]) -> str:
    lines = []
    for name, trials in scored:
        bona = [s.llr["whole"] for s in trials if s.bonafide and "whole" in s.llr]
        fake = [s.llr["whole"] for s in trials if not s.bonafide and "whole" in s.llr]
        if bona and fake:
            miss, accept, _ = det_points(bona, fake)
            lines.append((name, list(zip(miss.tolist(), accept.tolist(), strict=True))))
    return _plot(lines, "people rejected", "fakes accepted", ["0", "20 %", "40 %", "60 %", "80 %", "100 %"])


def _seconds(report: dict[str, Any]) -> str:
    """EER at each length, in the order of the lengths."""
    lines: list[tuple[str, list[tuple[float, float]]]] = []
    ticks: list[str] = []
    for condition, found in report["conditions"].items():
        ticks = [name for name in found["all"] if name != "10 s voice"]  # as long as the 10 s call: no step of its own
        last = max(1, len(ticks) - 1)
        lines.append((condition, [(k / last, found["all"][name]["eer"]) for k, name in enumerate(ticks)]))
    return _plot(lines, "net speech", "EER", ticks)


def _grid(rows: Sequence[dict[str, Any]]) -> str:
    """The heat map: white at the EER of G.711 alone, red at chance."""
    clean = rows[0]["eer"]
    names = list(dict.fromkeys((r["group"], r["corruption"]) for r in rows))
    lines = []
    for group, name in names:
        cells = []
        for r in (r for r in rows if (r["group"], r["corruption"]) == (group, name)):
            heat = min(1.0, max(0.0, (r["eer"] - clean) / max(0.5 - clean, 1e-6)))
            colour = f"rgb(255,{round(255 - 150 * heat)},{round(255 - 180 * heat)})"
            title = f"{100 * r['false_positives']:.1f} % of people accused"
            cells.append(
                f'<td class="cell" style="background:{colour}" title="{title}">{100 * r["eer"]:.1f}'
                f"<br><small>{escape(r['level'])}</small></td>"
            )
        lines.append(f"<tr><td>{escape(group)}: {escape(name)}</td>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"
