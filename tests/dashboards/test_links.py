"""A link restores every widget of every page, and only what was changed stands in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.dashboards.conftest import Opener, app_pages, words

PAGES = [name for name, *_ in app_pages()]
KINDS = ("number_input", "selectbox", "multiselect", "slider", "toggle", "radio", "checkbox",
         "text_input", "text_area", "date_input", "time_input", "color_picker",
         "select_slider")  # fmt: skip
#: a value of each number that is not its default and that its bounds allow
NUMBERS = {"p": 300, "o": 9, "b": 2, "tariff": 0.25, "rent": 2.5, "pue": 1.25, "wue": 0.5,
           "use": 0.5, "ttft": 9.0, "tpot": 8.0, "budget": 1e6}  # fmt: skip


def widgets(app: AppTest) -> dict[str, Any]:
    """Key -> widget, of everything that a reader can set."""
    found = [w for kind in KINDS for w in app.get(kind)]
    assert all(w.key for w in found), "a widget without a key has no place in the address"
    return {w.key: w for w in found}


def another(widget: Any) -> Any:
    """A value that the widget does not have, or None where there is no other."""
    if widget.type == "number_input":
        if widget.key in NUMBERS:
            return NUMBERS[widget.key]
        low, high = widget.min, widget.max
        return (low + high) / 2 if (low + high) / 2 != widget.value else high
    if widget.type == "multiselect":
        unchosen = [o for o in widget.options if o not in [str(v) for v in widget.indices]]
        return None if len(widget.options) < 2 else unchosen[-1:] or unchosen
    if widget.type == "selectbox":
        rest = [o for i, o in enumerate(widget.options) if i != widget.index]
        return rest[-1] if rest else None
    if widget.type in ("toggle", "checkbox"):
        return not widget.value
    raise NotImplementedError(f"say how to change a {widget.type}")


def changed(app: AppTest, mine: set[str]) -> set[str]:
    """Set the widgets `mine` to other values; the keys of those that have one."""
    done = set()
    for key in sorted(mine):
        widget = widgets(app).get(key)
        value = None if widget is None else another(widget)
        if widget is None or value is None:
            continue
        if widget.type == "selectbox":
            widget.select(value).run()
        else:
            widget.set_value(value).run()
        assert not app.exception, key
        done.add(key)
    return done


def values(app: AppTest) -> dict[str, Any]:
    """What every widget holds."""
    return {key: widget.value for key, widget in widgets(app).items()}


def link_of(app: AppTest, set_now: set[str]) -> dict[str, str]:
    """The query of the address: what the script wrote, and what the browser writes by itself for
    widgets that are bound to it (test_browser.py sees it do so)."""
    written = {k: v if isinstance(v, str) else v[-1] for k, v in dict(app.query_params).items()}
    bound = {
        key: str(widget.value)
        for key, widget in widgets(app).items()
        if key in set_now and getattr(widget.proto, "query_param_key", "") == key
    }
    return written | bound


@pytest.mark.parametrize("name", PAGES)
def test_a_link_restores_every_widget(page: Opener, filled: Path, name: str) -> None:
    app = page(filled, name)
    assert link_of(app, set()) == {}  # defaults stay out of the address
    shared = set(values(page(filled, "methods")))
    mine = set(values(app)) - shared if name != "methods" else shared
    set_now = changed(app, mine)
    link = link_of(app, set_now)
    assert set_now <= set(link), "a widget that was changed is not in the address"
    again = page(filled, name, **link)
    assert not again.exception
    assert values(again) == values(app)
    assert words(again) == words(app)
