"""`observatory prices`: API list prices of a model, by provider."""

from __future__ import annotations

from dataclasses import asdict

import click

from observatory.units import show
from observatory.verbs import numbers, options
from observatory.verbs.tables import print_table


@click.command(name="prices")
@click.argument("model")
@click.option("--provider", help="Only this provider.")
@click.option("--prompt", type=numbers.SIZE, default=1000, show_default=True, help="Prompt tokens.")
@click.option("--output", type=numbers.SIZE, default=500, show_default=True, help="Output tokens.")
@options.as_json
def command(model: str, provider: str | None, prompt: int, output: int, json_: bool) -> None:
    """API list prices of MODEL, and what one request costs at them.

    Snapshots of published lists; --api-input-price and --api-output-price of the billing verbs
    take any other.
    """

    from observatory.catalog.prices import find_offers

    found = find_offers(model, provider)
    if json_:
        options.print_json(
            [asdict(offer) | {"request_usd": offer.request_usd(prompt, output)} for offer in found]
        )
        return

    def number(value: float | None) -> str | None:
        return None if value is None else f"{value:g}"

    tiered = any(offer.tiered for offer in found)
    print_table(
        f"List prices of {model}, USD per million tokens",
        ["provider", "offer", "#input", "#output", "#cached", "#request"],
        [
            [offer.provider, offer.model + (" *" if offer.tiered else ""),
             number(offer.input_usd_per_mtok), number(offer.output_usd_per_mtok),
             number(offer.cache_read_usd_per_mtok),
             show(offer.request_usd(prompt, output), "cost_usd")]
            for offer in found
        ],
        [
            f"request: {prompt} prompt + {output} output tokens",
            *(["* the first of several tiers of prompt length"] if tiered else []),
            *sorted({f"source: {offer.source}" for offer in found}),
        ],
    )  # fmt: skip
