"""API list prices: found under any name, unknown is never zero, every row has its source."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from observatory.catalog.prices import find_offers, offers
from observatory.cli import observatory, run
from observatory.errors import UnknownNameError


def test_every_offer_has_a_source_and_no_free_lunch() -> None:
    assert len(offers()) > 1000
    for offer in offers():
        assert offer.source and "unsourced" not in offer.source
        for price in (offer.input_usd_per_mtok, offer.output_usd_per_mtok):
            assert price is None or 0 < price < 2000, offer
    keys = [(offer.provider, offer.model) for offer in offers()]
    assert len(set(keys)) == len(keys)


def test_prices_are_those_of_the_snapshot(reference: Path) -> None:
    with (reference / "catalog/api_prices.csv").open() as file:
        rows = {row["model_key"]: row for row in csv.DictReader(file)}
    row = rows["cerebras/llama-3.3-70b"]
    offer = next(o for o in find_offers("llama-3.3-70b") if o.provider == "cerebras")
    assert offer.input_usd_per_mtok == float(row["input_usd_per_mtok"])
    assert offer.output_usd_per_mtok == float(row["output_usd_per_mtok"])


def test_found_under_its_catalogue_aliases() -> None:
    by_hub = find_offers("meta-llama/Llama-3.3-70B-Instruct")
    assert {o.provider for o in by_hub} == {o.provider for o in find_offers("Llama-3.3 70B")}
    prices = [o.output_usd_per_mtok or 1e9 for o in by_hub]
    assert prices == sorted(prices) and len({o.provider for o in by_hub}) > 2
    with pytest.raises(UnknownNameError, match="API model"):
        find_offers("a-model-nobody-sells")


def test_request_price_by_hand() -> None:
    offer = next(o for o in find_offers("llama-3.3-70b") if o.provider == "cerebras")
    assert offer.request_usd(1000, 500) == pytest.approx((1000 * 0.85 + 500 * 1.2) / 1e6)
    half = next(o for o in offers() if o.output_usd_per_mtok is None)
    assert half.request_usd(1000, 500) is None


def test_prices_verb(capsys: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(observatory, ["prices", "llama-3.3-70b", "--json"])
    assert result.exit_code == 0 and json.loads(result.output)[0]["request_usd"] > 0
    text = CliRunner().invoke(observatory, ["prices", "deepseek-v3"]).output
    assert "source:" in text and max(map(len, text.splitlines())) <= 100
    assert run(observatory, ["prices", "nobody-sells-this"]) == 2
    assert "unknown API model" in capsys.readouterr().err
