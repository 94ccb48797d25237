"""The pages: file in app_pages/, title, and what it answers, in the order of the navigation."""

from __future__ import annotations

PAGES = (
    ("answer", "Answer", "What one request costs, in a sentence."),
    ("phases", "Phases", "Prefill and decode: time, joules, memory."),
    ("footprint", "Footprint", "Carbon and water: boundaries, regions, what is uncertain."),
    ("frontier", "Frontier", "Cost against capability, under the limits of a service."),
    ("routing", "Routing", "Which question to which model, and what that saves in each bill."),
    ("compare", "Compare", "Configurations side by side, on shared draws."),
    ("runs", "Runs & quality", "Every run, cell and window, and what is wrong with it."),
    ("card", "Model card", "One model: architecture, numbers, a snippet for a hub page."),
    ("methods", "Data & methods", "Formulas, factors with their sources, the schema."),
)
#: pages that show what was measured or is known, whatever the scenario
WITHOUT_SCENARIO = ("Phases", "Runs & quality", "Data & methods")
#: pages that say something without a database
WITHOUT_DATABASE = ("Routing",)
