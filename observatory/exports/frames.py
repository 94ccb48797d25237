"""Answers as the flat tables that figures draw: one place for pages, files and bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from observatory.answers import Estimate, estimate_frame
from observatory.figures.naming import names
from observatory.footprint import Footprint
from observatory.footprint.comparison import WORDS, Change
from observatory.footprint.ladder import Rung
from observatory.footprint.zones import zones

#: bills of the footprint page, in its order: column -> (title, quantity of `units`)
PARTS = {
    "energy_wh": ("Energy", "energy_wh"), "co2e_operational_g": ("Carbon, operational", "co2e_g"),
    "co2e_embodied_g": ("Carbon, embodied", "co2e_g"), "co2e_total_g": ("Carbon, total", "co2e_g"),
    "water_on_site_l": ("Water on site", "water_l"),
    "water_off_site_l": ("Water off site", "water_l"), "water_l": ("Water, total", "water_l"),
    "cost_usd": ("Money", "cost_usd"),
}  # fmt: skip
#: contrasting grids; the table of a scenario file (`observatory scenario`) has any
REGIONS = (
    "SWE", "NOR", "FRA", "CHE", "BRA", "CAN", "ESP", "GBR", "FIN", "DEU", "NLD", "ITA", "IRL",
    "JPN", "KOR", "SGP", "TWN", "USA", "US-TX", "US-CA", "US-VA", "AUS", "CHN", "IND", "POL", "ZAF",
)  # fmt: skip
RATIOS = ["name", "quantity", "ratio", "ratio_low", "ratio_high", "p_lower", "verdict"]


def bill_rows(estimates: Sequence[Estimate]) -> pd.DataFrame:
    """Bills by configuration and zone, with what `bills.bill` draws them by."""
    rows = estimate_frame(estimates)
    rows["name"] = names(rows)
    rows["zone"] = rows["zone"].fillna("stated numbers")
    rows["zone_name"] = [zones()[z].name if z in zones() else z for z in rows["zone"]]
    rows["provenance"], rows["method"] = rows["energy_provenance"], rows["energy_method"]
    return rows


def ladder_rows(rungs: Sequence[Rung], provenance: str | None) -> pd.DataFrame:
    """The request on every rung, and what others published there, for `ladder.boundary_ladder`.

    `provenance` is that of the request's energy.
    """
    rows = []
    for rung in rungs:
        rows.append({"boundary": rung.boundary, "subject": "this request", "ours": True,
                     "energy_wh": rung.energy_wh, "provenance": provenance,
                     "covers": "+".join(rung.covers),
                     "workload": None, "source": None, "reason": rung.reason})  # fmt: skip
        rows += [
            {"boundary": rung.boundary, "subject": point.subject, "ours": False,
             "energy_wh": point.value, "provenance": "imported",
             "covers": point.boundary_as_published,
             "workload": point.workload, "source": point.source, "reason": None}
            for point in rung.comparable
        ]  # fmt: skip
    return pd.DataFrame(rows)


def share_rows(made: Footprint) -> pd.DataFrame:
    """Each bill's inputs with their share of its variance, for `ladder.variance_shares`."""
    rows = [
        {"quantity": PARTS[name][0], "input": part, "share": share}
        for name, parts in made.variance_shares.items() if name in PARTS
        for part, share in parts
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["quantity", "input", "share"])


def one_kind(
    rows: pd.DataFrame, bill: str, kind: str | None = None
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """The regions whose carbon intensity is of `kind` (without one: of the commonest), and those
    left out by their kind. Kinds never share a table; a bill without carbon keeps every region.

    `rows`: as `answers.bills_by_zone` gives them.
    """
    if not bill.startswith("co2e") or rows.empty:
        return rows, {}
    wanted = kind or str(rows["kind"].mode()[0])
    other = rows[(rows["kind"] != wanted) & rows[bill].notna()]
    left = {str(k): [str(z) for z in group["zone"]] for k, group in other.groupby("kind")}
    return rows.drop(index=other.index), left


def ratio_rows(changes: Mapping[str, Change]) -> pd.DataFrame:
    """Name -> its bills as ratios to those of the base, for `ladder.ratios`."""
    rows = [
        {"name": name, "quantity": WORDS.get(s.quantity, s.quantity),
         "ratio": s.comparison.ratio_mid, "ratio_low": s.comparison.ratio_low,
         "ratio_high": s.comparison.ratio_high, "p_lower": s.comparison.p_less,
         "verdict": s.verdict.replace("A is", "base is").replace("B is", "this is")}
        for name, change in changes.items() for s in change.statements
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=RATIOS)


def cost_provenance(points: pd.DataFrame, requests: pd.DataFrame, cost: str) -> list[str | None]:
    """How the cost of each point of an own frontier was obtained: time is measured, the rest is as
    its joules. `requests`: as `answers.request_table` gives them."""
    if cost == "runtime_s":
        return ["measured"] * len(points)
    keys = zip(requests["model"], requests["configuration"], strict=True)
    known = dict(zip(keys, requests["energy_provenance"], strict=True))
    return [known.get(key) for key in zip(points["model"], points["configuration"], strict=True)]
