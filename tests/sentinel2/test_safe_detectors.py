"""Detector footprints as GML: real ones, and every way in which they can be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from s2pipe.errors import MetadataError
from s2pipe.sentinel2.safe.detectors import read_detector_outlines

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """<?xml version="1.0"?>
<eop:Mask xmlns:eop="http://www.opengis.net/eop/2.0" xmlns:gml="http://www.opengis.net/gml/3.2">
<gml:boundedBy><gml:Envelope srsName="urn:ogc:def:crs:EPSG:8.7:32632"/></gml:boundedBy>
<eop:maskMembers><eop:MaskFeature gml:id="detector_footprint-B02-09-0"><eop:extentOf><gml:Polygon>
<gml:exterior><gml:LinearRing><gml:posList srsDimension="3">0 0 0 10 0 0 10 10 0 0 0 0</gml:posList>
</gml:LinearRing></gml:exterior></gml:Polygon></eop:extentOf></eop:MaskFeature></eop:maskMembers></eop:Mask>"""


def test_real_footprints(shared_data: Path) -> None:
    for path in sorted(shared_data.glob("metadata/*T32TNM*/GRANULE/*/QI_DATA/MSK_DETFOO_*.gml")):
        outlines = read_detector_outlines(path, path.stem[-3:], 32632)
        assert [outline.detector for outline in outlines] == [9, 10, 11, 12]
        for outline in outlines:
            (ring,) = outline.rings
            assert ring.shape[1] == 2
            assert len(ring) >= 4
            assert (ring.min(axis=0) >= (499_980, 4_590_240)).all()
            assert (ring.max(axis=0) <= (609_780, 4_700_040)).all()


def test_a_small_footprint() -> None:
    (outline,) = read_detector_outlines(GOOD.encode(), "B02", 32632, "mask")
    assert outline.detector == 9
    np.testing.assert_array_equal(outline.rings[0], [[0, 0], [10, 0], [10, 10], [0, 0]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("32632", "32633", "expected the tile's EPSG:32632"),
        ("B02-09-0", "B03-09-0", "expected an id such as detector_footprint-B02-05-0"),
        ("B02-09-0", "B02-x-0", "expected an id such as"),
        ("0 0 0 10 0 0", "0 0 0 10 0", "expected points of 3 numbers"),
        ("10 10 0", "10 ten 0", "expected a finite number, got 'ten'"),
        ("10 10 0", "10 NaN 0", "expected a finite number"),
        ("0 0 0 10 0 0", "1 0 0 10 0 0", "expected a closed ring"),
        ('srsDimension="3"', 'srsDimension="5"', "expected points of 5 numbers"),
        ("eop:MaskFeature", "eop:Other", "the mask has no detector"),
        ("gml:LinearRing", "gml:Arc", "has no ring"),
        ("<eop:Mask xmlns", "<!DOCTYPE a [<!ENTITY b 'c'>]><eop:Mask xmlns", "document types and entities"),
        ("</eop:Mask>", "", "not well-formed XML"),
    ],
)
def test_wrong_footprints(old: str, new: str, message: str) -> None:
    text = GOOD.replace(old, new)
    assert text != GOOD
    with pytest.raises(MetadataError, match=message) as caught:
        read_detector_outlines(text.encode(), "B02", 32632, "MSK_DETFOO_B02.gml")
    assert str(caught.value).startswith("MSK_DETFOO_B02.gml: ")
