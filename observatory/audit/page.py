"""The page of all rules, written from the rules: `observatory audit --rules > docs/audit.md`."""

from __future__ import annotations

import re

from observatory.audit import RULES
from observatory.audit.rule import Rule

_HEAD = """# Audit: what is checked, and why

Written by `observatory audit --rules > docs/audit.md`; a test compares them.

```text
observatory audit                     # the database, by today's rules
observatory audit results.json …      # files of others, read but not stored
observatory audit --json | jq '.findings[] | [.rule, .row, .value, .bound]'
```

Exit code 0: nothing found; 1: something found. A row in violation is kept and marked, with a
sentence and a remedy. What follows depends on the rule's severity:

| severity | what happens |
|---|---|
| `exclude` | the row is left out of summaries and fits |
| `avoid` | it is left out where the same point has rows that broke nothing |
| `warn` | it is used and shown |
| `info` | it is used; something is said that is no fault, and the exit code stays 0 |

Two findings on one row may have one cause: an invariant (`power_above_limit`) says that the row is
impossible, a diagnosis (`millijoules_as_joules`) says which mistake alone would explain it. Where
several would, `unit_unclear` names them and excludes nothing for it.

**What METHOD §8 asks, and where it is judged.**

* MFU <= 1, MBU <= 1, time >= roofline: `mfu_above_one`, `mbu_above_one`, `faster_than_roofline`;
  against kernels measured here, `above_measured_ceiling`.
* idle <= power <= 1.15 × TDP: `power_below_idle`, `power_above_limit`.
* E = mean power × time within 5 %: `energy_power_mismatch`; own windows `sensor_disagreement`.
* Tokens from the tokenizer: `token_count_mismatch`. A count that agrees with the rest of its row is
  not judged: no file brings the texts to count again.
* Parts sum to the whole: `parts_do_not_sum`; own windows keep parts and no total.
* No exact multiples of another row: `exact_multiple`, `copied_block`, `duplicate_row`,
  `republished_row`. A single row that is a multiple of another is not judged: any two numbers have
  a ratio.
* Sparse FLOPs given as dense: `sparse_peak_as_dense`.
* GB against GiB: `gib_as_gb`, `memory_above_capacity`, `memory_below_weights`.
* J that are s, mJ that are J: `seconds_as_joules`, `millijoules_as_joules`, and the other units.

**What bounds rest on.** Catalogue peaks and TDP are hard: a row beyond them, and a 5 % tolerance,
is wrong. Ceilings that a short kernel measured on the same machine only warn. A card whose own
limit was probed is held to 1.05 × that limit, any other to 1.15 × TDP, and only where the joules
cover the devices alone. What another's row does not say is taken in its favour: an empty prompt,
half of the output as context, no communication, an 8-bit KV cache, no more experts than one token
uses, no bandwidth bound on weights that fit a cache, no compute bound on 4-bit weights; a model,
device or number format that the catalogue does not know is not held to a roofline at all.

**Not judged here.** The parts of an own window sum to its whole by construction: the store keeps
parts and no total. Joules that a window lacks are NULL with a reason, not a finding. A reported row
that states a technique (speculative decoding) or a cached prompt does other work than its lengths
say and is held to no roofline; memory is held to no weights where the row says that they are
offloaded. Equal rows of few digits may be repeats and are not called duplicates.

"""
_SUBJECTS = {
    "window": "Windows (measured here)",
    "cell": "Cells (all windows of one point in one run)",
    "reported": "Reported values (of others)",
}
_FOOT = """
When `observatory audit` reads files, a row that its importer refuses is listed as `row_refused`
with the importer's reason.
"""


def markdown() -> str:
    """The page."""
    sections = []
    for subject, rules in RULES.items():
        rows = "\n".join(_row(rule) for rule in rules)
        head = "| code | severity | what is wrong | what to do | source |\n|---|---|---|---|---|"
        sections.append(f"## {_SUBJECTS[subject]}\n\n{head}\n{rows}\n")
    return _HEAD + "\n".join(sections) + _FOOT


def _row(rule: Rule) -> str:
    version = "" if rule.version == 1 else f" (version {rule.version})"
    sentence = re.sub(r"\{(\w+)[^}]*\}", lambda m: f"*{m[1].replace('_', ' ')}*", rule.sentence)
    cells = (f"`{rule.code}`{version}", rule.severity, sentence, rule.remedy, rule.source)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
