"""URL ⇄ choices: the request and the scenario, in the sidebar, on every page, as query parameters.

Each widget binds to the query parameter of its key, so that the address is the state. Streamlit
leaves defaults out of the address and ignores values that a widget cannot hold. The zone is bound
by hand (`choose`), because Streamlit would put its label and not its id into the address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboards.theme import text
from observatory.errors import InputError
from observatory.footprint import Scenario
from observatory.footprint.energy import BOUNDARIES
from observatory.footprint.factors import HYDRO_RULES
from observatory.footprint.zones import resolve_zone, zones
from observatory.records import Workload

EXAMPLES = "three examples"
NO_ZONE = "not chosen (three examples)"
LARGEST_TOKENS = 10_000_000
MANY = 300  #: configurations that one widget offers
SPLIT = " · "  #: between a model and its stack


@dataclass(frozen=True)
class Choice:
    """What the reader asked for, and which choices differ from the defaults."""

    workload: Workload
    scenario: Scenario
    changed: tuple[str, ...]

    @property
    def request(self) -> str:
        """The request in words."""
        w = self.workload
        batch = f", {w.batch} at once" if w.batch > 1 else ""
        return f"{w.prompt_tokens} prompt + {w.output_tokens} output tokens{batch}"

    def line(self, reported: bool = False, billed: bool = True) -> str:
        """The scenario bar in one line of Markdown; what was changed is bold.

        With `reported` the costs are of requests of others, which the reader's does not move; those
        that are not `billed` here have the boundary of their source as well.
        """
        s = self.scenario
        request = "request as reported by its source"
        if reported and not billed:
            return f"{request} · boundary as reported · zone, site and prices do not enter"
        site = {
            "pue": f"PUE {s.pue:g}" if s.pue is not None else "PUE",
            "wue": f"WUE {s.wue_l_per_kwh} L/kWh" if s.wue_l_per_kwh is not None else "WUE",
            "use": f"utilisation {s.active_share}" if s.active_share is not None else "utilisation",
        }
        prices = {"tariff": (s.tariff_usd_per_kwh, "$/kWh"), "rent": (s.gpu_price_usd_per_h, "$/h")}
        parts = [
            request if reported else self._marked(f"request {self.request}", "p", "o", "b"),
            self._marked(f"zone {s.zone or NO_ZONE}", "zone"),
            self._marked(f"boundary {s.boundary}", "boundary"),
            *(self._marked(words, key) for key, words in site.items() if key in self.changed),
            *(self._marked(f"{key} {value} {unit}", key)
              for key, (value, unit) in prices.items() if value is not None),
            *([self._marked(f"hydropower's water {s.hydro_rule}", "hydro")]
              if "hydro" in self.changed else []),
        ]  # fmt: skip
        usual = [words for key, words in site.items() if key not in self.changed]
        if usual:
            parts.append(f"{', '.join(usual)} of the registry")
        if not any(value is not None for value, _ in prices.values()):
            parts.append("no price")
        return " · ".join(parts).replace("$", r"\$")

    def _marked(self, words: str, *keys: str) -> str:
        return f"**{words}**" if set(keys) & set(self.changed) else words


_BAR = "scenario bar"


def say_scenario(line: str, more: str | None = None) -> None:
    """Write the scenario bar here, with `more` below it."""
    place = st.session_state[_BAR] = st.empty()
    with place.container():
        for words in filter(None, (line, more)):
            st.caption(words)


def say_scenario_again(line: str) -> None:
    """Replace the bar of this run of the script: by a page whose numbers rest on less than that."""
    st.session_state[_BAR].caption(line)


@st.cache_data(show_spinner=False)
def zone_names() -> dict[str, str]:
    """Zone id -> `FRA · France`, grid zones only, by name."""
    grid = sorted((z for z in zones().values() if z.is_grid), key=lambda z: z.name)
    return {zone.id: f"{zone.id} · {zone.name}" for zone in grid}


def current() -> Choice:
    """The choice that `scenario_bar` read in this run of the script."""
    choice: Choice = st.session_state["choice"]
    return choice


def scenario_bar(covered: tuple[int, int]) -> Choice:
    """Draw the sidebar's widgets and read them. Raises InputError for a scenario that cannot be."""
    with st.sidebar:
        st.markdown("**One request**")
        prompt = _whole("prompt tokens", "p", covered[0], "Tokens read before the first answer.")
        output = _whole("output tokens", "o", covered[1], "Tokens written; the first is prefill's.")
        batch = _whole("batch", "b", 1, "Requests computed together; the bill is one request's.")
        st.markdown("**Scenario**")
        scenario, changed = _scenario()
    asked = {"p": prompt != covered[0], "o": output != covered[1], "b": batch != 1}
    return Choice(
        Workload.request(prompt, output, batch),
        scenario,
        (*(key for key, different in asked.items() if different), *changed),
    )


def _whole(label: str, key: str, value: int, help_text: str) -> int:
    got = st.number_input(label, 1, LARGEST_TOKENS, value, 1, key=key, help=help_text,
                          bind="query-params")  # fmt: skip
    return int(got if got is not None else value)


def _number(label: str, key: str, low: float, high: float, help_text: str) -> float | None:
    got = st.number_input(label, low, high, None, key=key, help=help_text, format="%g",
                          placeholder="registry", bind="query-params")  # fmt: skip
    return None if got is None else float(got)


def _zone() -> str:
    """The zone's widget. Its id goes to the address (`zone=FRA`), where any name is understood."""
    asked = st.query_params.get("zone")
    if asked and "zone" not in st.session_state:
        try:
            st.query_params["zone"] = resolve_zone(asked).id
        except InputError as error:
            st.warning(text(error))
    return choose(
        "zone", "zone", {EXAMPLES: "none: three examples"} | zone_names(), EXAMPLES,
        "Whose grid. There is no default zone: without one, three contrasting examples.",
    )  # fmt: skip


def choose(
    label: str, key: str, options: Mapping[str, str], default: str, help_text: str | None = None
) -> str:
    """One of `options` (id -> what is shown), the default unless the address says `key=id`."""
    asked = st.query_params.get(key)
    if asked in options and key not in st.session_state:
        st.session_state[key] = asked
    if st.session_state.get(key, default) not in options:
        del st.session_state[key]
    ids = list(options)
    chosen = st.selectbox(
        label, ids, index=ids.index(default), key=key, help=help_text,
        format_func=lambda one: options.get(one, one),
    )  # fmt: skip
    _remember(key, "" if chosen is None or chosen == default else chosen)
    return default if chosen is None else chosen


def choose_many(
    label: str, key: str, options: Mapping[str, str], default: Sequence[str], most: int
) -> list[str]:
    """Some of `options` (id -> what is shown), at most `most`; the address says `key=id,id`."""
    asked = [one for one in st.query_params.get(key, "").split(",") if one in options]
    if asked and key not in st.session_state:
        st.session_state[key] = asked[:most]
    if any(one not in options for one in st.session_state.get(key, [])):
        del st.session_state[key]
    st.session_state.setdefault(key, list(default)[:most])
    chosen = st.multiselect(
        label, list(options), key=key, max_selections=most,
        format_func=lambda one: options.get(one, one),
    )  # fmt: skip
    _remember(key, "" if chosen == list(default)[:most] else ",".join(chosen))
    return list(chosen)


def narrowed(key: str, known: Mapping[str, str], kept: Sequence[str]) -> Mapping[str, str]:
    """The options of a widget `key` over configurations (id -> `model · stack`).

    Beyond MANY a second widget chooses the model first: a browser would choke on thousands of
    options, and a reader too. What is chosen already (`kept`, the address, the session) stays.
    """
    if len(known) <= MANY:
        return known
    session = st.session_state.get(key, [])
    chosen = [session] if isinstance(session, str) else list(session)
    asked = st.query_params.get(key, "").split(",")
    stay = {one for one in (*kept, *chosen, *asked) if one in known}
    first = next(one for one in (*chosen, *asked, *kept) if one in known)
    models = sorted({name.partition(SPLIT)[0] for name in known.values()})
    model = choose(f"model ({len(known):,} configurations)", f"{key}-model",
                   {name: name for name in models}, known[first].partition(SPLIT)[0])  # fmt: skip
    return {one: name for one, name in known.items()
            if one in stay or name.partition(SPLIT)[0] == model}  # fmt: skip


def _remember(key: str, value: str) -> None:
    """Put a choice into the address, or take it out."""
    if not value:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != value:
        st.query_params[key] = value


def _scenario() -> tuple[Scenario, tuple[str, ...]]:
    zone = _zone()
    boundary = st.selectbox(
        "boundary", BOUNDARIES, index=BOUNDARIES.index("facility"), key="boundary",
        bind="query-params",
        help="What the joules cover: device ⊂ host ⊂ wall (idle included) ⊂ facility (× PUE).",
    )  # fmt: skip
    with st.expander("Site and prices"):
        tariff = _number("tariff ($/kWh)", "tariff", 0.0, 1e3, "Without a price, $ is missing.")
        rent = _number("rent ($ per device hour)", "rent", 0.0, 1e5, "Price of a device hour.")
        pue = _number("PUE", "pue", 1.0, 5.0, "Facility energy over IT energy.")
        wue = _number("WUE (L/kWh)", "wue", 0.0, 50.0, "Water on site per kWh of IT energy.")
        use = _number("utilisation", "use", 0.01, 1.0, "Share of the lifetime that serves.")
        rules = [rule for rule in HYDRO_RULES if rule != "custom"]
        hydro = st.selectbox("water of hydropower", rules, key="hydro", bind="query-params",
                             help="A choice: reservoirs' evaporation counted or not.")  # fmt: skip
    values = {"tariff": tariff, "rent": rent, "pue": pue, "wue": wue, "use": use}
    changed = [key for key, value in values.items() if value is not None]
    asked = {"zone": zone != EXAMPLES, "boundary": boundary != "facility", "hydro": hydro != "zero"}
    changed += [key for key, different in asked.items() if different]
    if boundary is None or hydro is None:
        raise InputError("a boundary and a hydro rule must be chosen")
    made = Scenario(
        zone=None if zone == EXAMPLES else zone,
        boundary=boundary,
        pue=pue,
        wue_l_per_kwh=wue,
        tariff_usd_per_kwh=tariff,
        gpu_price_usd_per_h=rent,
        active_share=use,
        hydro_rule=hydro,
    )
    return made, tuple(changed)
