"""What a point is called in a figure: its model, with its configuration where there are several."""

from __future__ import annotations

import pandas as pd

from observatory.figures.style import shorten


def names(rows: pd.DataFrame) -> list[str]:
    """Model names; with the configuration where a model has more than one.

    `rows`: `model`, `configuration`, `configuration_key`.
    """
    several = rows.groupby("model")["configuration_key"].transform("nunique")
    return [
        str(model) if n == 1 else f"{model} · {shorten(str(configuration), 40)}"
        for model, configuration, n in zip(
            rows["model"], rows["configuration"], several, strict=True
        )
    ]
