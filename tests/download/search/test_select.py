"""Choice: the newest pair counts, and everything else has its reason."""

from __future__ import annotations

from typing import Any

from s2pipe.download.cfg import QueryConfig
from s2pipe.download.search.catalogue import Catalogue, Search
from s2pipe.download.search.select import choose
from s2pipe.testing import Service, StoredProduct, catalogue_only
from tests.download.search_support import DECEMBER, get_json, product_name, square


def hits(service: Service, level: str) -> list:
    return Catalogue(get_json, service.url("catalogue"), 100).search(Search(level, *DECEMBER))


def chosen(
    products: list[StoredProduct], *, with_l2a: bool = True, with_halves: bool = False, **query: Any
) -> Any:
    asked = {"date_from_utc": "2025-12-01", "date_to_utc": "2025-12-31", "tile_id": "33UWQ", **query}
    with Service(products) as service:
        return choose(
            hits(service, "L1C"),
            hits(service, "L2A"),
            QueryConfig(**asked),
            with_l2a=with_l2a,
            with_halves=with_halves,
        )


def test_the_newest_baseline_then_the_newest_time_stamp_wins() -> None:
    names = [
        product_name(3, baseline="0510", made="20260101T000000"),
        product_name(3, baseline="0511", made="20251204T000000"),
        product_name(3, baseline="0511", made="20251205T000000"),
        product_name(3, baseline="9999", made="20260202T000000"),
        product_name(3, "L2A", baseline="9999"),
        product_name(3, "L2A", baseline="0511"),
    ]
    choice = chosen([catalogue_only(name) for name in names])
    (pair,) = choice.pairs
    assert (str(pair.l1c.name), str(pair.l2a.name)) == (names[2], names[5])
    assert {item.name for item in choice.rejected} == {names[0], names[1], names[3], names[4]}
    assert all(item.reason for item in choice.rejected)


def test_an_l1c_product_without_a_twin_is_passed_over_unless_l2a_is_not_wanted() -> None:
    products = [
        catalogue_only(product_name(3)),
        catalogue_only(product_name(4)),
        catalogue_only(product_name(4, "L2A")),
    ]
    choice = chosen(products)
    assert len(choice.pairs) == 1
    assert choice.rejected[0].is_notable
    assert len(chosen(products, with_l2a=False).pairs) == 2


def test_offline_products_are_reported() -> None:
    choice = chosen([catalogue_only(product_name(3), online=False), catalogue_only(product_name(3, "L2A"))])
    assert choice.pairs == ()
    assert "offline" in choice.rejected[0].reason


def test_halves_of_one_acquisition_are_told_and_matched() -> None:
    def half(level: str, made: str, strip: str, footprint: dict[str, Any]) -> StoredProduct:
        name = product_name(3, level, made=made)
        return catalogue_only(
            name, footprint=footprint, datastrip=f"S2A_OPER_MSI_{level}_DS_2APS_{made}_S{strip}_N05.11"
        )

    west, east = ("20251203T100400", square(15.0, 15.5)), ("20251203T100700", square(15.48, 16.46))
    products = [
        half(level, f"20251203T1{n}0000", *part)
        for level in ("L1C", "L2A")
        for n, part in enumerate((east, west))
    ]
    choice = chosen(products)
    (pair,) = choice.pairs
    assert pair.l1c.strip_start == pair.l2a.strip_start == east[0]  # the larger half, though not the newest
    assert len(pair.halves) == 1
    assert [item.is_notable for item in choice.rejected] == [True, True]
    # Taken as well, it keeps to its own twin, and to the clouds that are asked for.
    both = chosen(products, with_halves=True, min_coverage_ratio=0.5)
    (other,) = both.pairs[0].others
    assert both.rejected == ()
    assert other.l1c.strip_start == other.l2a.strip_start == west[0]
    assert other.l1c.files_dir.endswith(f"/half=S{west[0]}/files")
    lone = chosen(products[:3], with_halves=True)
    assert lone.pairs[0].others == ()
    assert [item.reason for item in lone.rejected] == [
        "has no L2A product of its tile and sensing time that can be fetched"
    ]
    # A reprocessed product has another datastrip as well, but covers the same ground: it is a newer version.
    again = [half("L1C", "20251203T100000", *west), half("L1C", "20251203T110000", east[0], west[1])]
    choice = chosen(again, with_l2a=False)
    assert len(choice.pairs) == 1
    assert "is superseded" in choice.rejected[0].reason
