"""The page in a browser: nothing is logged or fetched, and controls work by keyboard and mouse.

They run with ``S2PIPE_BROWSER=1`` (`make test-report`), and then need Chromium.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from osgeo import gdal

from s2pipe.report.run import write_report
from tests.report.browser import Browser
from tests.report.report_support import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    not os.environ.get("S2PIPE_BROWSER"), reason="needs Chromium: `make test-report` runs it"
)


def visit(tmp_path: Path, work: Callable[[Browser], Awaitable[None]]) -> None:
    """Do something in a browser; afterwards nothing may have been logged, and no address asked for."""

    async def run() -> None:
        async with Browser(tmp_path / "profile") as browser:
            await work(browser)
            assert browser.logged == []
            assert {url.partition(":")[0] for url in browser.requested} <= {"file", "data"}
            assert len({url for url in browser.requested if url.startswith("file")}) == 1

    asyncio.run(run())


def test_controls_work(whole: Path, tmp_path: Path) -> None:
    page = write_report(whole, tmp_path / "page.html").path

    async def work(browser: Browser) -> None:
        await browser.open(page)
        # The first stop of the keyboard leads to the content.
        await browser.key("Tab")
        assert await browser.js("document.activeElement.textContent") == "Skip to the content"
        await browser.key("Enter")
        assert await browser.js("document.activeElement.id") == "main"
        await _tables(browser)
        await _viewer(browser)
        await _map(browser)
        await browser.click("[data-labels]")
        assert await browser.js(
            "[...document.querySelectorAll('.sheet .labels')].every(i => i.offsetWidth > 0)"
        )
        assert await browser.js(
            "[...document.querySelectorAll('.sheet .bands')].every(i => i.offsetWidth === 0)"
        )
        broken = "[...document.images].filter(i => i.offsetWidth && !(i.complete && i.naturalWidth)).length"
        assert await browser.js(broken) == 0

    visit(tmp_path, work)


async def _tables(browser: Browser) -> None:
    names = "[...document.querySelectorAll('table[data-name=samples] tbody th')].map(c => c.textContent)"
    heading = "table[data-name=samples] thead th:first-child"
    before = await browser.js(names)
    await browser.click(f"{heading} button")
    await browser.key("Enter")
    assert await browser.js(f"document.querySelector('{heading}').getAttribute('aria-sort')") == "descending"
    assert await browser.js(names) == sorted(before, reverse=True)
    await browser.click("[data-filter=samples]")
    await browser.send("Input.insertText", text="2025-08")
    shown = (
        "[...document.querySelectorAll('table[data-name=samples] tbody tr')].filter(r => !r.hidden).length"
    )
    assert await browser.js(shown) == 1
    assert await browser.js("document.querySelector('[data-count=samples]').textContent") == " 1 row(s)"
    # Every table of numbers is sorted as numbers.
    sorted_all = """[...document.querySelectorAll('th[data-sort=number] button')].every(b => {
        b.click();
        const th = b.parentElement, column = th.cellIndex;
        const values = [...th.closest('table').tBodies[0].rows].map(r => {
          const c = r.cells[column];
          return Number(c.dataset.value === undefined ? c.textContent : c.dataset.value);
        });
        return values.every((v, i) => i === 0 || !(values[i - 1] > v));
    })"""
    assert await browser.js(sorted_all)


async def _viewer(browser: Browser) -> None:
    await browser.js("document.querySelector('#slider').focus()")
    await browser.key("Home")
    assert await browser.js("document.querySelector('#over').style.clipPath") == "inset(0px 100% 0px 0px)"
    await browser.key("ArrowRight", times=3)
    assert await browser.js("document.querySelector('#slider').getAttribute('aria-valuetext')") == (
        "3 % True colour, the rest Normalised"
    )
    first = await browser.js("document.querySelector('#under').src")
    await browser.js("document.querySelector('#right').focus()")
    await browser.key("ArrowDown")
    assert await browser.js("document.querySelector('#under').src") != first
    await browser.click("#next")
    assert await browser.js("document.querySelector('#scene').selectedIndex") == 1
    alts = await browser.js("[...document.querySelectorAll('#layers img')].map(i => i.alt)")
    assert len(alts) == 7
    assert all("2025-08" in alt for alt in alts)


async def _map(browser: Browser) -> None:
    box = "document.querySelector('#map').getAttribute('viewBox')"
    whole = await browser.js(box)
    await browser.click("[data-zoom=in]")
    await browser.click("[data-zoom=left]")
    assert await browser.js(box) != whole
    await browser.click("[data-zoom=reset]")
    assert [float(part) for part in (await browser.js(box)).split()] == [
        float(part) for part in whole.split()
    ]
    await browser.click("[data-toggle=patches]")
    assert (
        await browser.js("getComputedStyle(document.querySelector('[data-layer=patches]')).display") == "none"
    )


def test_light_and_dark(whole: Path, tmp_path: Path) -> None:
    """Text stands out from the ground in both schemes, and nothing is wider than a phone's screen."""
    page = write_report(whole, tmp_path / "page.html").path

    async def work(browser: Browser) -> None:
        grounds = []
        for dark in (False, True):
            await browser.open(page, dark=dark)
            grounds.append(await browser.js("getComputedStyle(document.body).backgroundColor"))
            contrasts = await browser.js(_CONTRASTS)
            assert contrasts, "texts were compared"
            assert [found for found in contrasts if found[0] < 4.5] == []
        assert grounds[0] != grounds[1]
        await browser.open(page, width=390)
        assert await browser.js("document.documentElement.scrollWidth") <= 390

    visit(tmp_path, work)


_CONTRASTS = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const level = c => { const [r, g, b] = parse(c).map(v => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (parse(c)[3] !== 0) return c; } return 'rgb(255,255,255)'; };
  return [...document.querySelectorAll('h1,h2,p,a,td,th,figcaption,li,summary,label,caption')]
    .filter(e => e.offsetWidth).map(e => { const [a, b] = [level(getComputedStyle(e).color), level(ground(e))];
      return [(Math.max(a, b) + .05) / (Math.min(a, b) + .05), e.tagName, e.textContent.slice(0, 40)]; });
})()"""


def test_everything_has_a_name(whole: Path, tmp_path: Path) -> None:
    """Screen readers find landmarks, and a name for whatever can be used."""
    page = write_report(whole, tmp_path / "page.html").path

    async def work(browser: Browser) -> None:
        await browser.open(page)
        nodes = (await browser.send("Accessibility.getFullAXTree"))["nodes"]
        of_role: dict[str, list[str]] = {}
        for node in nodes:
            if not node.get("ignored"):
                name = node.get("name", {}).get("value", "")
                of_role.setdefault(node["role"]["value"], []).append(name)
        assert {"banner", "navigation", "main", "contentinfo", "heading", "table"} <= set(of_role)
        for role in ("button", "slider", "combobox", "checkbox", "searchbox", "link", "region", "table"):
            assert of_role[role], role
            assert "" not in of_role[role], role

    visit(tmp_path, work)


def test_hostile_names_do_nothing(copy: Path, tmp_path: Path) -> None:
    path = min(copy.glob("processed/*/*/meta.json"))
    meta = json.loads(path.read_text())
    meta["key"] = {"tile_id": HOSTILE, "sensing_start_utc": HOSTILE}
    meta["labels"]["meaning"]["class_names"]["4"] = "</title></style><svg onload=document.title='x'>"
    path.write_text(json.dumps(meta))
    page = write_report(copy).path

    async def work(browser: Browser) -> None:
        await browser.open(page)
        await browser.click("#next")
        assert await browser.js("document.title") == "Dataset report: set"
        assert await browser.js("document.querySelectorAll('img[onerror], svg[onload]').length") == 0
        # The page's own policy stops scripts that are not its own.
        blocked = """(() => { const s = document.createElement('script'); s.textContent = 'window.bad = 1';
            document.body.append(s); return window.bad === undefined; })()"""
        assert await browser.js(blocked)
        assert len(browser.logged) == 1
        assert "Content Security Policy" in browser.logged.pop()

    visit(tmp_path, work)


def test_the_map_is_drawn_in_the_colours_of_the_splits(whole: Path, tmp_path: Path) -> None:
    page = write_report(whole, tmp_path / "page.html").path

    async def work(browser: Browser) -> None:
        await browser.open(page)
        (tmp_path / "map.png").write_bytes(await browser.picture("#map"))

    visit(tmp_path, work)
    data = gdal.Open(str(tmp_path / "map.png"))
    pixels = np.empty((3, data.RasterYSize, data.RasterXSize), np.uint8)
    data.ReadRaster(0, 0, data.RasterXSize, data.RasterYSize, buf_obj=pixels, band_list=[1, 2, 3])
    red, _, blue = pixels.astype(int)
    splits = json.loads((whole / "patches" / "shards.json").read_text())["splits"]
    assert splits["train"]["samples"] > 0
    assert (blue - red > 60).mean() > 0.1, "patches of train are blue"
