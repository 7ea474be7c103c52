"""The NBAR kernel against the formulas of the papers, written again for one pixel in degrees, and their tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import s2kernels as k

RED = (0.1690, 0.0574, 0.0227)
NIR = (0.3093, 0.1535, 0.0330)
PER_NODE_PX = 250
"""Pixels of 20 m from node to node."""


def paper_kernels(sun_zenith: float, view_zenith: float, relative_azimuth: float) -> tuple[float, float]:
    """Ross-Thick and Li-Sparse-Reciprocal as Lucht et al. (2000) write them, with h/b = 2 and b/r = 1; radians."""
    cos_xi = math.cos(sun_zenith) * math.cos(view_zenith)
    cos_xi += math.sin(sun_zenith) * math.sin(view_zenith) * math.cos(relative_azimuth)
    xi = math.acos(max(-1.0, min(1.0, cos_xi)))
    volumetric = ((math.pi / 2 - xi) * math.cos(xi) + math.sin(xi)) / (
        math.cos(sun_zenith) + math.cos(view_zenith)
    ) - math.pi / 4
    tan_sun, tan_view = math.tan(sun_zenith), math.tan(view_zenith)
    sec_sun, sec_view = 1 / math.cos(sun_zenith), 1 / math.cos(view_zenith)
    distance2 = tan_sun**2 + tan_view**2 - 2 * tan_sun * tan_view * math.cos(relative_azimuth)
    root = math.sqrt(max(0.0, distance2) + (tan_sun * tan_view * math.sin(relative_azimuth)) ** 2)
    t = math.acos(min(1.0, 2 * root / (sec_sun + sec_view)))
    overlap = (t - math.sin(t) * math.cos(t)) * (sec_sun + sec_view) / math.pi
    geometric = overlap - sec_sun - sec_view + (1 + math.cos(xi)) / 2 * sec_sun * sec_view
    return volumetric, geometric


def paper_factor(
    weights: tuple[float, float, float],
    sun_zenith_out: float,
    sun: tuple[float, float],
    view: tuple[float, float],
) -> float:
    """The c-factor of Roy et al. (2016): the model at nadir over the model as observed; degrees."""

    def model(sun_zenith: float, view_zenith: float, azimuth: float) -> float:
        kernels = paper_kernels(*map(math.radians, (sun_zenith, view_zenith, azimuth)))
        return weights[0] + weights[1] * kernels[0] + weights[2] * kernels[1]

    return model(sun_zenith_out, 0.0, 0.0) / model(sun[0], view[0], sun[1] - view[1])


def angles_of(vector: np.ndarray) -> tuple[float, float]:
    """Zenith and azimuth in degrees of a direction east, north, up."""
    east, north, up = map(float, vector)
    return math.degrees(math.atan2(math.hypot(east, north), up)), math.degrees(math.atan2(east, north))


def direction(zenith: float, azimuth: float) -> np.ndarray:
    z, a = math.radians(zenith), math.radians(azimuth)
    return np.array((math.sin(z) * math.sin(a), math.sin(z) * math.cos(a), math.cos(z)))


def geometry(origin_yx: tuple[int, int] = (0, 0), knot_px: int = 16, bands: int = 2) -> k.ViewGeometry:
    """Two detectors that look 2 degrees apart, as over a tile: 0.36 degrees from node to node; the sun in the south."""
    rows, cols = np.mgrid[:5, :6]
    vectors = np.zeros((2, 5, 6, 3))
    for slot, along in enumerate((-0.017, 0.02)):
        across = 0.09 - 0.0064 * cols + 0.001 * rows
        vectors[slot] = np.stack((across, along + 0 * across, 1 + 0 * across), axis=-1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    sun = np.stack([direction(48 - 0.04 * i, 155 + 0.05 * j) for i in range(5) for j in range(6)])
    nodes = np.array([[[0.0, 5], [0, 5]], [[0, 0], [4, 4]]])
    slots = np.full((1, 256), -1, np.int16)
    slots[0, 3:5] = 0, 1
    place = k.Placement(nodes, (4 * PER_NODE_PX, 5 * PER_NODE_PX), origin_yx)
    return k.ViewGeometry(k.DirectionField(vectors, slots), sun.reshape(5, 6, 3), place, [0] * bands, knot_px)


MODEL = k.BrdfModel(*zip(RED, NIR, strict=True), 45.0)
RADIOMETRY = k.Radiometry([-1000.0, 0.0], [10000.0, 10000.0])


def adjusted(dn: np.ndarray, where: k.ViewGeometry, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    out = np.full(dn.shape, 77, np.float32)
    lost = k.nbar(dn, RADIOMETRY, MODEL, where, ids, out)
    return out, lost


def two_detectors(height: int, width: int) -> np.ndarray:
    """A slanting seam."""
    y, x = np.mgrid[:height, :width]
    return np.where(x + y // 4 < width // 2, 3, 4).astype(np.uint8)[np.newaxis]


def test_the_kernels_are_those_of_the_papers() -> None:
    rng = np.random.default_rng(1)
    for sun, view, azimuth in rng.uniform((0, 0, -360), (80, 80, 360), (200, 3)):
        expected = paper_kernels(*map(math.radians, (sun, view, azimuth)))
        assert k.brdf_kernels(sun, view, azimuth) == pytest.approx(expected, abs=1e-9)
    assert k.brdf_kernels(0.0, 0.0, 0.0) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_kernels_integrate_to_the_published_albedos() -> None:
    """Lucht et al. (2000): white-sky integrals, and polynomials that approximate black-sky integrals."""
    places, shares = np.polynomial.legendre.leggauss(28)
    zeniths = (places + 1) * math.pi / 4
    shares = shares * math.pi / 4 * 2 * np.sin(zeniths) * np.cos(zeniths)
    azimuths = (np.arange(24) + 0.5) * 7.5  # the other half is its mirror image

    def black(sun: float) -> np.ndarray:
        rings = [
            np.mean([k.brdf_kernels(math.degrees(sun), view, azimuth) for azimuth in azimuths], axis=0)
            for view in np.degrees(zeniths).tolist()
        ]
        return shares @ np.array(rings)

    white = shares @ np.array([black(sun) for sun in zeniths.tolist()])
    np.testing.assert_allclose(white, (0.189184, -1.377622), atol=5e-4)
    for sun in np.radians((0, 30, 60)).tolist():
        polynomials = (
            -0.007574 - 0.070987 * sun**2 + 0.307588 * sun**3,
            -1.284909 - 0.166314 * sun**2 + 0.041840 * sun**3,
        )
        np.testing.assert_allclose(black(sun), polynomials, atol=0.02)


def test_every_pixel_has_the_factor_of_its_own_directions() -> None:
    height, width = 4 * PER_NODE_PX, 5 * PER_NODE_PX
    where, ids = geometry(), two_detectors(height, width)
    dn = np.full((2, height, width), 4000, np.float32)
    out, lost = adjusted(dn, where, ids)
    assert lost.tolist() == [0, 0]
    rng = np.random.default_rng(2)
    for y, x in rng.integers((height, width), size=(300, 2)).tolist():
        slot = ids[0, y, x] - 3
        row, col = y / PER_NODE_PX, x / PER_NODE_PX
        i, j = min(int(row), 3), min(int(col), 4)
        share = np.outer((1 - row + i, row - i), (1 - col + j, col - j))[..., np.newaxis]
        sun, view = (
            angles_of((grid[i : i + 2, j : j + 2] * share).sum(axis=(0, 1)))
            for grid in (where.sun, where.view.vectors[slot])
        )
        for band, (weights, offset) in enumerate(((RED, -1000.0), (NIR, 0.0))):
            factor = (out[band, y, x] + offset) / (4000 + offset)
            assert factor == pytest.approx(paper_factor(weights, 45.0, sun, view), abs=1e-5)
    # A seam is seen in the factor: without one, neighbours would differ by 1e-5.
    assert abs(np.diff(out[1, 500])).max() > 20


@given(
    top=st.integers(0, 60),
    left=st.integers(0, 60),
    height=st.integers(1, 40),
    width=st.integers(1, 60),
    knot_px=st.sampled_from((1, 7, 16)),
)
@settings(max_examples=25, deadline=None)
def test_a_window_gives_what_the_whole_gives(
    top: int, left: int, height: int, width: int, knot_px: int
) -> None:
    rng = np.random.default_rng(3)
    dn = rng.integers(0, 5000, (2, 100, 120)).astype(np.float32)
    ids = two_detectors(100, 120)
    whole, _ = adjusted(dn, geometry(knot_px=knot_px), ids)
    cut = np.s_[:, top : top + height, left : left + width]
    part, _ = adjusted(
        np.ascontiguousarray(dn[cut]), geometry((top, left), knot_px), np.ascontiguousarray(ids[cut])
    )
    np.testing.assert_array_equal(part, whole[cut])


def test_nodata_stays_and_unknown_directions_are_counted() -> None:
    dn = np.full((2, 20, 40), 3000, np.float32)
    dn[0, 3, :7] = 0
    dn[1, 4, :9] = np.nan
    ids = np.full((1, 20, 40), 3, np.uint8)
    ids[0, :, 30:] = 0
    ids[0, 3, :2] = 9  # where the first band has no data
    where = geometry()
    out, lost = adjusted(dn, where, ids)
    assert lost.tolist() == [200, 202]
    expected = (dn > 0) & (ids > 0) & (ids < 9)
    np.testing.assert_array_equal(out != 0, expected)
    same = dn.copy()
    k.nbar(same, RADIOMETRY, MODEL, where, ids, same)
    np.testing.assert_array_equal(same, out)


def test_bands_without_a_plane_are_left_as_they_are() -> None:
    dn = np.arange(2 * 20 * 40, dtype=np.float32).reshape(2, 20, 40)
    ids = np.zeros((1, 20, 40), np.uint8)
    out, lost = adjusted(dn, geometry()._replace(planes=[-1, 0]), ids)
    np.testing.assert_array_equal(out[0], dn[0])
    assert lost.tolist() == [0, 800]


def test_a_valid_pixel_never_becomes_nodata() -> None:
    """c * (DN + offset) - offset can be 0, which would be nodata; reflectance must be -offset all the same."""
    dn = np.array([[[500.0, 501.0]]], np.float32)
    where = geometry(bands=1)
    where = where._replace(view=where.view._replace(vectors=np.full((2, 5, 6, 3), (0.0, 0.0, 1.0))))
    sun = np.full((5, 6, 3), direction(0, 0))
    model = k.BrdfModel([1.0], [0.0], [0.1], 50.0)
    nadir = 1 + 0.1 * k.brdf_kernels(50, 0, 0)[1]
    offset = -500 * nadir / (nadir - 1)  # c * (500 + offset) = offset
    assert 0 < nadir < 2
    radiometry = k.Radiometry([offset], [10000.0])
    out = np.empty((1, 1, 2), np.float32)
    k.nbar(dn, radiometry, model, where._replace(sun=sun), np.full((1, 1, 2), 3, np.uint8), out)
    assert (out != 0).all()
    rho, valid = np.empty_like(out), np.empty_like(out)
    k.reflectance_valid(out, radiometry, rho, valid)
    np.testing.assert_allclose(rho[0, 0], nadir * (dn[0, 0] + offset) / 10000, rtol=1e-5)
    assert valid.all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": k.BrdfModel([1.0], [0.0], [0.0], 45.0)}, "model.isotropic: expected 2 finite numbers"),
        ({"model": MODEL._replace(sun_zenith_deg=90.0)}, "model.sun_zenith_deg: expected 0 to below 90"),
        ({"model": MODEL._replace(isotropic=[0.0, 0.0])}, "expected reflectance above 0 at nadir"),
        ({"geometry": geometry(bands=1)}, "geometry.planes: expected 2 numbers"),
        (
            {"geometry": geometry()._replace(planes=[0, 1])},
            "geometry.planes: expected 2 numbers from -1 to 0",
        ),
        ({"geometry": geometry(knot_px=0)}, "geometry.knot_px: expected at least 1"),
        ({"geometry": geometry()._replace(sun=np.zeros((5, 5, 3)))}, "geometry.sun: expected shape"),
        ({"geometry": geometry((990, 0))}, "do not cover"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    good = {
        "dn": np.ones((2, 20, 40), np.float32),
        "radiometry": RADIOMETRY,
        "model": MODEL,
        "geometry": geometry(),
        "detectors": np.zeros((1, 20, 40), np.uint8),
        "out": np.empty((2, 20, 40), np.float32),
    }
    with pytest.raises(ValueError, match=message):
        k.nbar(**{**good, **changes})
