"""The one door out: questions about the store, answered as DataFrames and plain records.

The dashboard, the exports and the command line ask these functions and nothing else, so that they
all give the same numbers. Every function takes an engine opened read-only and computes nothing that
it could read; a page never reads `window` in bulk.
"""

from observatory.answers.bills import bill_in_detail, bills_by_zone, compare, estimate
from observatory.answers.estimates import Estimate, estimate_frame
from observatory.answers.fitted import (
    DEFAULT_REQUEST,
    covered_request,
    fit_count,
    fits,
    idealized,
    models,
)
from observatory.answers.laws import Laws, read_laws
from observatory.answers.names import label
from observatory.answers.reports import RunReport, overview, run_report
from observatory.answers.requests import (
    ENERGY_FITS,
    NO_ENERGY,
    P90_OF_NORMAL,
    energy_input,
    energy_inputs,
    energy_reasons,
    request_table,
)
from observatory.answers.sources import reported_models, sources
from observatory.answers.tables import (
    capabilities,
    capability_of,
    capability_table,
    cells,
    configurations,
    findings,
    findings_by_rule,
    footprint_table,
    runs,
    summary,
    windows,
)

__all__ = [
    "DEFAULT_REQUEST",
    "ENERGY_FITS",
    "NO_ENERGY",
    "P90_OF_NORMAL",
    "Estimate",
    "Laws",
    "RunReport",
    "bill_in_detail",
    "bills_by_zone",
    "capabilities",
    "capability_of",
    "capability_table",
    "cells",
    "compare",
    "configurations",
    "covered_request",
    "energy_input",
    "energy_inputs",
    "energy_reasons",
    "estimate",
    "estimate_frame",
    "findings",
    "findings_by_rule",
    "fit_count",
    "fits",
    "footprint_table",
    "idealized",
    "label",
    "models",
    "overview",
    "read_laws",
    "reported_models",
    "request_table",
    "run_report",
    "runs",
    "sources",
    "summary",
    "windows",
]  # fmt: skip
