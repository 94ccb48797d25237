"""Write observatory/datasets/data from the reference data: `python tools/reference_rows.py`.

Only sources whose licence lets their values be shipped, and of those few enough to stay small. The
folder of the reference data is named by OBSERVATORY_REFERENCE. The same files give the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from observatory.datasets.shipped import to_lines
from observatory.importers import registry

OUT = Path(__file__).resolve().parent.parent / "observatory" / "datasets" / "data"
#: file of the reference data -> name of ours; Apache-2.0 or CC BY 4.0, each as its source says
FILES = {
    "peers/ml_energy_v3/tasks/gpqa.json": "ml-energy-v3-gpqa",
    "peers/ml_energy_v3/tasks/lm-arena-chat.json": "ml-energy-v3-chat",
    "peers/quant_energy/measured.csv": "quant-energy-measured",
    "peers/quant_energy/rtx4090_paired_energy_quality_2026-08-19.csv": "quant-energy-rtx4090",
    "peers/optimum_benchmark/"
    "f75d9f93_examples_running-llamas_artifacts_Llama-7b_full_report.csv": "optimum-llama-7b",
}
OPEN = {"Apache-2.0", "CC BY 4.0", "MIT"}


def text_of(path: Path) -> str:
    """Our file for one of theirs. Raises SystemExit where its licence is none of OPEN."""
    _, reading = registry.read(path, None)
    if reading.licence not in OPEN:
        raise SystemExit(f"{path.name}: licence {reading.licence}: not to be shipped")
    source = {
        "key": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
        "name": path.name, "tool": reading.tool, "tool_version": reading.tool_version,
        "licence": reading.licence, "url": reading.url,
        "notes": {**reading.notes, "shipped": "values carried over, converted to SI units"},
    }  # fmt: skip
    rows = [row.reported for row in reading.rows if row.rejected is None]
    return "\n".join(to_lines(source, rows)) + "\n"


def main() -> int:
    """Write every file."""
    root = os.environ.get("OBSERVATORY_REFERENCE")
    if not root:
        print("OBSERVATORY_REFERENCE is not set: it names the reference data", file=sys.stderr)
        return 2
    OUT.mkdir(exist_ok=True)
    for file, name in FILES.items():
        text = text_of(Path(root) / file)
        (OUT / f"{name}.jsonl").write_text(text, encoding="utf-8")
        print(f"{name}: {text.count(chr(10)) - 1} rows, {len(text):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
