"""Names of places resolve to exactly one zone or fail with near matches."""

from __future__ import annotations

import pytest

from observatory.errors import InputError, UnknownNameError
from observatory.footprint.factors import load_factors
from observatory.footprint.zones import (
    EXAMPLE_ZONES,
    chain,
    resolve_device,
    resolve_facility,
    resolve_zone,
    zones,
)


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("FRA", "FRA"),
        ("fr", "FRA"),
        ("France", "FRA"),
        ("germany", "DEU"),
        ("UK", "GBR"),
        ("US-TX", "US-TX"),
        ("texas", "US-TX"),
        ("us-tx", "US-TX"),
        ("cloud:aws:us-east-1", "cloud:aws:us-east-1"),
        ("aws:us-east-1", "cloud:aws:us-east-1"),
        ("gcp:europe-north1", "cloud:gcp:europe-north1"),
        ("singapore", "SGP"),
    ],
)
def test_names_and_aliases(name: str, zone: str) -> None:
    assert resolve_zone(name).id == zone


def test_unknown_and_ambiguous_names_are_errors() -> None:
    with pytest.raises(UnknownNameError, match="did you mean France"):
        resolve_zone("Frence")
    with pytest.raises(UnknownNameError):
        resolve_zone("")
    with pytest.raises(UnknownNameError):  # a device is no place
        resolve_zone("device:nvidia-h100")
    with pytest.raises(InputError, match="ambiguous: say one of GEO, US-GA"):
        resolve_zone("Georgia")
    with pytest.raises(UnknownNameError, match="unknown facility"):
        resolve_facility("USA")


def test_every_zone_resolves_to_itself_and_parents_exist() -> None:
    for zone in zones().values():
        if zone.is_grid:
            assert resolve_zone(zone.id).id == zone.id
        assert next(z.id for z in chain(zone)) == zone.id
        assert zone.facility is None or zone.facility in zones()


def test_every_factor_zone_is_known() -> None:
    for factor in load_factors().rows:
        assert factor.zone.startswith("fuel:") or factor.zone in zones(), factor.id


def test_example_zones_contrast_in_carbon_and_water() -> None:
    table = load_factors()
    for kind in ("carbon_intensity.average-lifecycle", "ewif.zero.mid", "ewif.allocated.mid"):
        found = [table.get(kind, zone) for zone in EXAMPLE_ZONES]
        values = [f.value for f in found if f is not None]
        assert len(set(values)) == 3
        if kind.startswith("carbon"):
            assert values == sorted(values)
            assert values[2] > 10 * values[0]


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("NVIDIA H100 80GB HBM3", "device:nvidia-h100-sxm"),
        ("NVIDIA A100-SXM4-80GB", "device:nvidia-a100-sxm-80gb"),
        ("NVIDIA L4", "device:nvidia-l4"),
        ("NVIDIA GH200 480GB", None),
        ("AMD EPYC 7763", None),
    ],
)
def test_devices_by_driver_name(name: str, device: str | None) -> None:
    found = resolve_device(name)
    assert (found.id if found else None) == device
