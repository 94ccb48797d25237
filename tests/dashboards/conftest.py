"""Synthetic databases for page tests: filled, without energy, empty, and one that means harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from observatory.datasets.shipped import load_shipped
from observatory.records import Configuration, Energy, Model, content_hash
from observatory.store.database import open_database
from tests import synthetic

pytest.importorskip("streamlit", reason="the extra `dashboard` is not installed")

from streamlit.testing.v1 import AppTest

APP = Path(__file__).resolve().parents[2] / "dashboards" / "app.py"
HOSTILE = (
    "<script>alert(1)</script>",
    '=HYPERLINK("http://evil.example","click")',
    "![x](http://evil.example/x.png) [y](javascript:alert(1)) $x^2$ :material/home:",
)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two synthetic models on one synthetic CPU."""
    path = tmp_path_factory.mktemp("filled") / "observatory.db"
    synthetic.record(path, "synthetic-1")
    synthetic.record(path, "synthetic-2", model_name="Pythia-160M", scale=1.3)
    return path


@pytest.fixture(scope="session")
def energyless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One synthetic model, measured where no sensor is."""
    path = tmp_path_factory.mktemp("energyless") / "observatory.db"
    synthetic.record(path, energy=synthetic.no_energy)
    return path


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a row."""
    path = tmp_path_factory.mktemp("empty") / "observatory.db"
    open_database(path).dispose()
    return path


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nothing measured here; the rows and scores of others that ship with the project."""
    path = tmp_path_factory.mktemp("imported") / "observatory.db"
    load_shipped(str(path))
    return path


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names and reasons that a careless page or spreadsheet would run."""
    path = tmp_path_factory.mktemp("hostile") / "observatory.db"
    real = synthetic.model_named, synthetic.configuration_of

    def reason(duration_s: float) -> Energy:
        del duration_s
        return Energy(reason=HOSTILE[2])

    with pytest.MonkeyPatch.context() as patch:
        for i, name in enumerate(HOSTILE):

            def model(_: str, name: str = name) -> Model:
                return replace(real[0](), name=name, revision=content_hash(name))

            def configuration(of: Model, name: str = name) -> Configuration:
                return replace(real[1](of), attention=name, backend=name)

            patch.setattr(synthetic, "model_named", model)
            patch.setattr(synthetic, "configuration_of", configuration)
            synthetic.record(path, f"synthetic-{i}", energy=reason)
    return path


Opener = Callable[..., AppTest]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Opens a page of the dashboard on a database: `page(path, "phases", zone="FRA")`."""

    def opened(database: Path, name: str = "answer", **query: str) -> AppTest:
        monkeypatch.setenv("OBSERVATORY_DB", str(database))
        app = AppTest.from_file(str(APP), default_timeout=60)
        for key, value in query.items():
            app.query_params[key] = value
        if name != "answer":
            app.switch_page(f"app_pages/{name}.py")
        return app.run()

    return opened


def app_pages() -> list[tuple[str, ...]]:
    """The pages of the navigation."""
    from dashboards.navigation import PAGES

    return list(PAGES)


def words(app: AppTest) -> str:
    """Every piece of text that a page shows outside tables, without the marks of escaping."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error")
    parts = [str(element.value) for kind in kinds for element in app.get(kind)]
    return "\n".join(parts).replace("\\", "").replace("\u2060", "")
