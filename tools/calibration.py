"""Write the table of docs/calibration.md from the shipped calibrations: `… [--check]`."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

from observatory.runtime.calibration import Calibration
from observatory.runtime.calibration_errors import half_width
from observatory.runtime.calibration_shipped import shipped

PAGE = Path(__file__).resolve().parent.parent / "docs" / "calibration.md"
PLACE = re.compile(r"(<!-- shipped -->\n).*?(<!-- end -->)", re.S)
HEAD = (
    "| device | recipe | rows | models | time, mean | worst model | energy, mean | interval |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|"
)


def row(c: Calibration) -> str:
    width, flagged = half_width(list(c.spread.values()))
    energy = c.energy_error.values()
    cells = [
        c.device, c.recipe, str(c.rows), str(len(c.error)), f"{c.mean_error:.1%}",
        f"{max(c.error.values()):.1%}", f"{sum(energy) / len(energy):.1%}" if energy else "–",
        f"× or ÷ {math.exp(width):.2f}" + (" (flagged)" if flagged else ""),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main(arguments: list[str]) -> int:
    text = PAGE.read_text(encoding="utf-8")
    table = "\n".join([HEAD, *(row(c) for c in shipped())])
    made = PLACE.sub(lambda m: f"{m[1]}{table}\n{m[2]}", text)
    if table not in made:
        print("docs/calibration.md has no place for the table")
        return 1
    if "--check" in arguments:
        if made != text:
            print("docs/calibration.md is not what the code says: run python tools/calibration.py")
        return int(made != text)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
