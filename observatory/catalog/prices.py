"""API list prices: `data/api_prices.csv`, one offer of one provider a row, with its source.

A price of zero in the source means unknown and is None here. Prices are snapshots: the source names
the edition; `tiered` offers cost more beyond some prompt length, and the row is the first tier.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from observatory.catalog.models import find, normal
from observatory.errors import UnknownNameError


@dataclass(frozen=True)
class ApiPrice:
    """US dollars per million tokens; None = not offered or not known."""

    provider: str
    model: str
    input_usd_per_mtok: float | None
    output_usd_per_mtok: float | None
    cache_read_usd_per_mtok: float | None
    batch_input_usd_per_mtok: float | None
    batch_output_usd_per_mtok: float | None
    max_input_tokens: int | None
    deprecated: str | None
    tiered: bool
    source: str

    def request_usd(self, prompt_tokens: float, output_tokens: float) -> float | None:
        """List price of one request; None where either price is unknown."""
        if self.input_usd_per_mtok is None or self.output_usd_per_mtok is None:
            return None
        dollars = prompt_tokens * self.input_usd_per_mtok + output_tokens * self.output_usd_per_mtok
        return dollars / 1e6


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


@cache
def offers() -> tuple[ApiPrice, ...]:
    """Every offer, in table order."""
    file = resources.files("observatory.catalog").joinpath("data/api_prices.csv")
    return tuple(
        ApiPrice(
            provider=row["provider"],
            model=row["model"],
            input_usd_per_mtok=_number(row["input_usd_per_mtok"]),
            output_usd_per_mtok=_number(row["output_usd_per_mtok"]),
            cache_read_usd_per_mtok=_number(row["cache_read_usd_per_mtok"]),
            batch_input_usd_per_mtok=_number(row["batch_input_usd_per_mtok"]),
            batch_output_usd_per_mtok=_number(row["batch_output_usd_per_mtok"]),
            max_input_tokens=int(row["max_input_tokens"]) if row["max_input_tokens"] else None,
            deprecated=row["deprecated"] or None,
            tiered=row["tiered"] == "yes",
            source=row["source"],
        )
        for row in csv.DictReader(file.read_text("utf-8").splitlines())
    )


def _spellings(model: str) -> set[str]:
    """Normal forms of a model's names: as given, its last part, and its catalogue aliases."""
    names = {model}
    try:
        row = find(model)
    except UnknownNameError:
        pass
    else:
        names |= {row["name"], row["hf_id"], *row["aliases"].split(";")}
    return {normal(form) for n in names if n for form in (n, n.rpartition("/")[2])}


def find_offers(model: str, provider: str | None = None) -> list[ApiPrice]:
    """Offers of a model under any of its names, cheapest output first.

    Raises UnknownNameError with near matches where nobody is listed with it, or not this provider.
    """
    wanted = _spellings(model)
    listed = [
        offer
        for offer in offers()
        if wanted & {normal(offer.model), normal(offer.model.rpartition("/")[2])}
    ]
    found = [offer for offer in listed if provider in (None, offer.provider)]
    if listed and not found:
        known = sorted({offer.provider for offer in listed})
        raise UnknownNameError(
            f"provider of {model}", str(provider), known, f"it is listed by {', '.join(known)}"
        )
    if not found:
        known = sorted({offer.model.rpartition("/")[2] for offer in offers()})
        raise UnknownNameError("API model", model, known, "no provider lists a price for it")
    return sorted(found, key=lambda offer: (offer.output_usd_per_mtok or float("inf"), offer.model))
