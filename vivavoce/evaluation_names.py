"""Every name in `vivavoce evaluate --json` and what stands under it. The names are stable: scripts may rely on them.

Rates and shares are 0-1, LLRs natural-log likelihood ratios of bona fide over spoof. Names of groups (lengths of speech,
families, repositories, languages, paths of copies) come from the corpus or are listed under `groups`.
"""

from __future__ import annotations

NAMES: dict[str, str] = {
    # where it stands
    "model": "version of the weights",
    "split": "rows of the manifest that were measured",
    "names": "this table",
    "conditions": "figures by what the audio passed: wideband or G.711",
    "copies": "by condition and synthesis path: real clips against copies of those very clips, by paths never trained on",
    "robustness": "one row per cell of the grid; the first is G.711 alone",
    "all": "every spoof against all bona fide speech, by length: `4 s` of clips with that much net speech, when they had it",
    "unseen generators": "spoofs whose generator (or a sibling) is in no earlier split",
    "seen generators": "spoofs whose generator is",
    "unseen synthesis": "unseen generators without speech changers and neural codecs",
    "speech changers": "real voices altered by signal processing",
    "neural codecs": "real voices through a neural codec",
    "families": "by kind of generator, whole clips",
    "languages": "by language, spoofs against people of the same language, whole clips",
    "within repositories": "real against spoof of the same repository, whole clips, with 8 of each",
    "false positives by source": "people accused by repo, language and orig_sr, groups of 20 clips or more",
    "worst source": "the repository whose people are accused most, of those with 20 clips; null without any",
    "source": "its name",
    "subgroups": "people accused by what the manifest tells of speaker and recording, whole clips",
    "groups": "by value; `not told` where the manifest is silent",
    "false alarms": "by kind of trial: genuine speech that the running tag called Deepfake-likely",
    "time to detect": "by kind of trial: net speech until the running tag was Deepfake-likely",
    "at the shipped threshold": "by length: shares at or below the model's own threshold",
    # one group of spoofs against people, at one length
    "bonafide": "trials of people of that length",
    "spoof": "trials of synthetic speech of that length",
    "eer": "equal error rate",
    "auroc": "chance that a person's score is above a fake's",
    "min_dcf": "normalised detection cost at the best threshold (ASVspoof 5: P_spoof 0.05, C_miss 1, C_fa 10)",
    "act_dcf": "the same cost at the Bayes threshold, -0.642",
    "cllr": "cost of the calibrated LLRs in bits; 1 says nothing",
    "min_cllr": "the same after the best monotone recalibration",
    "raw_cllr": "the same of the model's mean scores before calibration; whole trials only, else null",
    "caught_at_1_percent": "fakes below the threshold that rejects 1 % of these people",
    "mean_average_precision": "mean over generators of the average precision of finding its spoofs among all people",
    "chance_precision": "what random scores would reach there",
    "generators": "how many generators that is the mean of",
    # groups
    "people": "clips of people",
    "clips": "clips of the group",
    "repositories": "how many repositories that is the mean of",
    "accused": "of them with a score at or below the threshold",
    "rate": "accused / clips",
    "low": "lower end of the 95 % interval: Wilson's of a share, Byar's of alarms per hour",
    "high": "its upper end",
    "known": "clips of people of which the property is told",
    "not_told": "clips of people of which it is not",
    # on the way
    "alarms": "how often the tag became Deepfake-likely",
    "hours": "net speech",
    "per_hour": "alarms per hour of net speech",
    "trials": "clips or calls of people",
    "ever_accused": "share of them with an alarm",
    "detected": "fakes with an alarm",
    "median_s": "net speech until the first alarm, median of those detected; null without any",
    **{f"detected_by_{s}_s": f"share of all fakes with an alarm within {s} s of net speech" for s in (2, 4, 8)},
    **{f"lasting_{s}_s": f"fakes with that much net speech: the others cannot be detected at {s} s" for s in (2, 4, 8)},
    # thresholds
    "deepfake_llr": "the threshold",
    "false positives": "share of people at or below it; null without any",
    "caught": "share of fakes at or below it; null without any",
    # copies
    "kind": "what sort of synthesis the path is; `pooled` is over all paths but neural codecs",
    "mean_eer": "mean of the pooled paths' EERs: each path weighs the same",
    "told_apart": "share of copies whose score is below that of their own original",
    # the grid
    "group": "telephone, or the corruptions of Li et al.",
    "corruption": "what is done to the audio",
    "level": "how much of it",
    "false_positives": "share of people below the threshold",
}
