"""What one call of each model uses: joules, time, tokens, from a table of items or from the store.

Joules come from the file (a column that ends in `_j` or `_wh`), or from tokens in the file and the
fit of a measured configuration. A model of which neither is known has no energy, and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Engine

from observatory import answers
from observatory.derive import plain_rows
from observatory.errors import InputError, UnknownNameError
from observatory.footprint import EnergyInput
from observatory.footprint.energy import J_PER_WH, Floats
from observatory.importers.items import Tables
from observatory.records import Workload
from observatory.runtime.fit import Fit
from observatory.tradeoffs.candidates import ASSUMED_REL

#: what the joules of a file may cover -> the component they are
COVERS = {"device": "device_j", "wall": "wall_j", "facility": "facility_j"}
TOKENS = ("prompt_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Measured:
    """A configuration of the store that serves a model of the table."""

    configuration_key: str
    environment_key: str


@dataclass(frozen=True, slots=True)
class ModelUse:
    """Use of one model by each item; arrays have shape (items,), None where unknown.

    `base` carries everything but the amounts: method, provenance, device, repeatability.
    """

    model: str
    base: EnergyInput
    joules: Mapping[str, Floats]  #: component of EnergyInput -> J a call
    reason: str | None = None  #: why there are no joules
    busy_s: Floats | None = None
    prompt_tokens: Floats | None = None
    output_tokens: Floats | None = None
    stated_usd: Floats | None = None
    price: tuple[float, float] | None = None  #: list price, $ per million tokens in and out
    notes: tuple[str, ...] = field(default=())

    @property
    def weight(self) -> Floats:
        """How heavy each call is: joules, else tokens, else money, else one a call."""
        for values in (*self.joules.values(), self.output_tokens, self.stated_usd):
            if values is not None:
                return values
        return np.array(1.0)


def uses(
    tables: Tables,
    models: Sequence[str],
    covers: str = "wall",
    error_rel: float = ASSUMED_REL,
    prices: Mapping[str, tuple[float, float]] | None = None,
    measured: Mapping[str, Measured] | None = None,
    engine: Engine | None = None,
) -> list[ModelUse]:
    """One entry a model of the table, in its order.

    `covers` says what the joules of the file cover; `error_rel` is one relative standard deviation
    of them, assumed and independent between models, since a table of items states none. `measured`
    configurations (with the `engine` of their store) win over joules of the file. Raises
    UnknownNameError for a model that the table does not have or another word in `covers`.
    """
    if covers not in COVERS:
        raise UnknownNameError("coverage", covers, list(COVERS), f"one of {', '.join(COVERS)}")
    for name in (*(prices or {}), *(measured or {})):
        if name not in models:
            raise UnknownNameError("model of the items", name, list(models), ", ".join(models))
    made = []
    for j, model in enumerate(models):
        own = {c: values[:, j] for c, values in tables.columns.items()}
        known = {c: v for c, v in own.items() if not np.isnan(v).any()}
        chosen = (measured or {}).get(model)
        price = (prices or {}).get(model)
        if chosen is not None and engine is not None:
            made.append(_from_store(engine, model, chosen, known, price))
        else:
            made.append(_from_file(model, own, known, covers, error_rel, price))
    return made


def _from_file(
    model: str,
    own: Mapping[str, Floats],
    known: Mapping[str, Floats],
    covers: str,
    error_rel: float,
    price: tuple[float, float] | None,
) -> ModelUse:
    column = next((c for c in known if c.endswith(("_j", "_wh"))), None)
    reason: str | None = None
    notes: tuple[str, ...] = ()
    joules: dict[str, Floats] = {}
    if column is None:
        gaps = [c for c in own if c.endswith(("_j", "_wh"))]
        tokens = all(name in known for name in TOKENS)
        reason = (
            f"{gaps[0]} has gaps" if gaps
            else "--configuration MODEL=KEY turns its tokens into joules" if tokens
            else "the items hold no joules of it, and no prompt_tokens and output_tokens"
        )  # fmt: skip
    else:
        scale = J_PER_WH if column.endswith("_wh") else 1.0
        joules = {COVERS[covers]: known[column] * scale}
        notes = (
            f"{column} is taken as energy of the {covers} (--joules says otherwise); a relative "
            f"error of {error_rel:.3g} is assumed of each model (--assume-error)",
        )
    base = EnergyInput(
        provenance="imported", method=f"{column} of the items" if column else None, label=model,
        card=f"items:{model}", systematic_rel=0.0, repeat_rel_std=error_rel or None,
    )  # fmt: skip
    return ModelUse(
        model, base, joules, reason, known.get("runtime_s"), known.get(TOKENS[0]),
        known.get(TOKENS[1]), known.get("cost_usd"), price, notes,
    )  # fmt: skip


def _from_store(
    engine: Engine,
    model: str,
    chosen: Measured,
    known: Mapping[str, Floats],
    price: tuple[float, float] | None,
) -> ModelUse:
    """Joules and seconds of each call from the fits of a measured configuration, batch 1."""
    missing = [name for name in TOKENS if name not in known]
    if missing:
        raise InputError(f"{model}: a measured configuration needs {' and '.join(missing)} in the "
                         "items, for every call")  # fmt: skip
    prompt, output = (np.maximum(np.rint(known[name]), 1).astype(int) for name in TOKENS)
    typical = Workload.request(int(np.median(prompt)), int(np.median(output)))
    pairs = answers.energy_inputs(engine, typical, None, [chosen.configuration_key])
    estimate, base = next(
        (e, i) for e, i in pairs if e.environment_key == chosen.environment_key
    )  # fmt: skip
    fits = {
        row["quantity"]: Fit.from_json(row["parameters"])
        for row in plain_rows(answers.fits(engine, None, [chosen.configuration_key]))
        if row["environment_key"] == chosen.environment_key
    }
    timed = fits["runtime_s"].predict_many(prompt, output)
    joules = {
        q.removeprefix("energy_"): fits[q].predict_many(prompt, output).runtime_s
        for q in answers.ENERGY_FITS if q in fits
    }  # fmt: skip
    outside = int(timed.extrapolated.sum())
    notes = [f"{model}: joules and seconds of {estimate.model}, {estimate.configuration}"]
    if outside:
        notes.append(f"{model}: {outside} of {len(prompt)} calls lie outside what was measured")
    return ModelUse(
        model, base, joules, None if joules else estimate.energy_reason, timed.runtime_s,
        prompt.astype(float), output.astype(float), known.get("cost_usd"), price, tuple(notes),
    )  # fmt: skip
