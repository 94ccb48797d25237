"""Lanes: the full protocol of a score. Two lanes never share an axis without saying so.

A lane is written as one line, `benchmark/metric/shots/harness/source`, with what else is known as
`key=value` parts at the end: `mmlu/acc/5-shot/lm-eval-0.4.13/harness-run`,
`gpqa_diamond/accuracy/0-shot/inspect/epoch/effort=high`. An unknown part is `?`, which equals no
other protocol but itself. The axis of a lane is the lane without precision: a quantized model may
stand beside others,
marked, while two harnesses may not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Lane:
    """One protocol. `source` is the family of the number (a harness run of one's own, a model
    card, a leaderboard), not the single file."""

    benchmark: str
    metric: str
    shots: str | None = None
    harness: str | None = None
    source: str | None = None
    task_version: str | None = None
    filter: str | None = None
    effort: str | None = None
    chat_template: bool | None = None
    precision: str | None = None

    @property
    def axis(self) -> str:
        """The lane without precision: what scores must share to stand on one axis."""
        return "/".join(self._parts())

    @property
    def key(self) -> str:
        """The whole lane, precision included."""
        return "/".join([*self._parts(), *([f"precision={slug(self.precision)}"]
                                           if self.precision else [])])  # fmt: skip

    def _parts(self) -> list[str]:
        shots = UNKNOWN if self.shots is None else f"{self.shots}-shot"
        parts = [slug(self.benchmark), slug(self.metric or UNKNOWN), slug(shots)]
        parts += [slug(self.harness or UNKNOWN), slug(self.source or UNKNOWN)]
        if self.task_version:
            parts.append(f"version={slug(self.task_version)}")
        if self.filter and self.filter != "none":
            parts.append(f"filter={slug(self.filter)}")
        if self.effort:
            parts.append(f"effort={slug(self.effort)}")
        if self.chat_template is not None:
            parts.append(f"chat={'yes' if self.chat_template else 'no'}")
        return parts


def slug(value: str) -> str:
    """`value` as one part of a lane: lower case, no blanks, no slashes, no spreadsheet formula."""
    made = re.sub(r"[^a-z0-9.?@+_=-]+", "-", value.strip().lower()).strip("-").lstrip("=@+-")
    return made or UNKNOWN


def axis_of(lane: str) -> str:
    """A lane's axis: without its precision."""
    return "/".join(part for part in lane.split("/") if not part.startswith("precision="))


def matches(pattern: str, lane: str) -> bool:
    """Whether a lane fits a pattern: its axis or the first parts of it, as `mmlu/acc/...`."""
    wanted = [part for part in pattern.strip().lower().rstrip("/").split("/") if part != "..."]
    return axis_of(lane).split("/")[: len(wanted)] == wanted


@dataclass(frozen=True, slots=True)
class Score:
    """A score in a lane. `model` as the source names it; `unit` `fraction`, `perplexity`, …"""

    model: str
    lane: Lane
    score: float
    unit: str
    source: str
    licence: str
    stderr: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    date: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def row(self, model_name: str) -> dict[str, Any]:
        """As a row of the table `capability`, under a normalised model name."""
        return {
            "model_name": model_name,
            "lane": self.lane.key,
            "benchmark": self.lane.benchmark,
            "metric": self.lane.metric,
            "score": self.score,
            "unit": self.unit,
            "stderr": self.stderr,
            "ci_low": self.ci_low,
            "ci_high": self.ci_high,
            "shots": self.lane.shots,
            "precision": self.lane.precision,
            "harness": self.lane.harness,
            "source": self.source,
            "licence": self.licence,
            "date": self.date,
            "extra": {"reported_name": self.model, **self.extra},
        }


#: metrics of which less is better
LOWER_IS_BETTER = {
    "perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "ppl", "brier_score",
    "ter", "wer", "nll", "ece", "mse", "mae", "rmse",
}  # fmt: skip


def higher_is_better(metric: str) -> bool:
    """Whether more of this metric is better."""
    return slug(metric) not in LOWER_IS_BETTER


def axes(lanes: Iterable[str]) -> list[str]:
    """The different axes among lanes, sorted."""
    return sorted({axis_of(lane) for lane in lanes})
