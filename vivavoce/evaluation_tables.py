"""Tables and bars of the report's page: errors, alarms, times to detect, who is accused, copies, the names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from models.detection import DETECTED_BY
from vivavoce.evaluation import GROUPS, SHOWN
from vivavoce.evaluation_lived import NOT_TOLD

BAR, LEFT, SPAN = "#1b6ca8", 216, 240  # colour; pixels before the bars, and of the longest
Bar = tuple[str, float, tuple[float, float] | None]  # name, share, its interval
SHOWN_CLIPS = 8  # of a subgroup, from which it has a bar


def _table(heads: Iterable[str], rows: Iterable[Sequence[str]], kind: str = "figures") -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f'<table class="{kind}"><tr>{head}</tr>{"".join(lines)}</table>'


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(row: Mapping[str, Any]) -> str:
    return f"{_percent(row['low'])} to {_percent(row['high'])}"


def _bars(label: str, rows: Sequence[Bar], full: float) -> str:
    """A bar per row; `full` is the share that fills the width."""
    height = 22 * len(rows) + 8
    out = [f'<svg viewBox="0 0 520 {height}" width="520" role="img" aria-label="{escape(label)}">']

    def across(share: float) -> float:
        return LEFT + SPAN * min(1.0, share / full)

    for k, (name, share, interval) in enumerate(rows):
        y, end = 22 * k + 4, across(share)
        out.append(f'<text x="{LEFT - 6}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.0f}" height="16" fill="{BAR}"/>')
        if interval is not None:
            low, high = map(across, interval)
            out.append(f'<line x1="{low:.0f}" x2="{high:.0f}" y1="{y + 8}" y2="{y + 8}" stroke="#222" stroke-width="1.5"/>')
            end = max(end, high)
        out.append(f'<text x="{4 + end:.0f}" y="{y + 13}">{_percent(share)}</text>')
    return "".join(out) + "</svg>"


def lengths(found: Mapping[str, Any]) -> str:
    """Every length of all spoofs, and the whole trials of each group of them."""
    threes = ("auroc", "mean_average_precision", "min_dcf", "act_dcf", "cllr", "min_cllr", "raw_cllr")
    heads = ("AUROC", "mAP", "minDCF", "actDCF", "Cllr", "min", "raw")
    rows = []
    for group in GROUPS:
        for name, s in found[group].items():
            if group == "all" or name in SHOWN:
                label = name if group == "all" else f"{name}, {group}"
                numbers = ["" if s[key] is None else f"{s[key]:.3f}" for key in threes]
                counts = (str(s["bonafide"]), str(s["spoof"]), f"{100 * s['eer']:.1f}")
                rows.append((label, *counts, *numbers, _percent(s["caught_at_1_percent"])))
    return _table(("length", "people", "fakes", "EER %", *heads, "caught at 1 %"), rows)


def families(found: Mapping[str, Any]) -> str:
    """A bar per generator family, worst first."""
    rows = sorted(found["families"].items(), key=lambda item: -item[1]["eer"])
    return _bars("EER by generator family", [(f"{name} ({r['clips']})", r["eer"], None) for name, r in rows], 0.6)


def alarms(found: Mapping[str, Any]) -> str:
    rows = []
    for kind, r in found["false alarms"].items():
        rate = (f"{r['per_hour']:.1f}", f"{r['low']:.1f} to {r['high']:.1f}")
        rows.append((kind, str(r["trials"]), f"{r['hours']:.2f}", str(r["alarms"]), *rate, _percent(r["ever_accused"])))
    return _table(("people", "trials", "hours of speech", "false alarms", "an hour", "95 %", "ever accused"), rows)


def times(found: Mapping[str, Any]) -> str:
    rows = []
    for kind, r in found["time to detect"].items():
        by = [f"{_percent(r[f'detected_by_{s:g}_s'])} ({r[f'lasting_{s:g}_s']} last)" for s in DETECTED_BY]
        median = "" if r["median_s"] is None else f"{r['median_s']:.1f} s"
        rows.append((kind, str(r["spoof"]), str(r["detected"]), median, *by))
    return _table(("fakes", "trials", "detected", "median", *(f"by {s:g} s" for s in DETECTED_BY)), rows)


def worst(found: Mapping[str, Any]) -> str:
    row = found["worst source"]
    if row is None:
        return ""
    return f"<p>Worst source: {escape(row['source'])}, {row['accused']} of {row['clips']} clips, {_interval(row)}</p>"


def subgroups(found: Mapping[str, Any]) -> str:
    """One picture of the groups that are large enough, and a table of all."""
    bars: list[Bar] = []
    rows = []
    for name, group in found["subgroups"].items():
        for value, r in sorted(group["groups"].items(), key=lambda item: -item[1]["clips"]):
            rows.append((f"{name}: {value}", f"{r['accused']} of {r['clips']}", _percent(r["rate"]), _interval(r)))
            if r["clips"] >= SHOWN_CLIPS and value != NOT_TOLD:
                bars.append((f"{name}: {value} ({r['clips']})", r["rate"], (r["low"], r["high"])))
    known = ", ".join(f"{name} of {group['known']}" for name, group in found["subgroups"].items())
    total = next((group["known"] + group["not_told"] for group in found["subgroups"].values()), 0)
    note = f"<p>Of {total} clips of people the manifest tells: {escape(known)}.</p>"
    return note + _bars("people accused by subgroup", bars, 0.3) + _table(("group", "accused", "share", "95 %"), rows)


def copies(paths: Mapping[str, Any]) -> str:
    """A bar of EER per path of copies, and the figures."""
    rows = []
    for name, r in paths.items():
        counts = (str(r["bonafide"]), str(r["spoof"]), f"{100 * r['eer']:.1f}", f"{r['auroc']:.3f}")
        caught = (_percent(r["caught"]), _percent(r["caught_at_1_percent"]))
        rows.append((name, r["kind"], *counts, *caught, f"{_percent(r['told_apart'])} ({_interval(r)})"))
    heads = ("path", "kind", "real", "copies", "EER %", "AUROC", "caught", "caught at 1 %", "copy below its real")
    return _bars("EER by path of copies", [(name, r["eer"], None) for name, r in paths.items()], 0.6) + _table(heads, rows)


def names(meanings: Mapping[str, str]) -> str:
    return _table(("figure", "meaning"), meanings.items(), "names")
