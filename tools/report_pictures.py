"""Draw docs/img/report.png and docs/img/report-dark.png: a report in headless Chromium.

python tools/report_pictures.py demo-output/report.html
python tools/report_pictures.py demo/report.html first-hour-report.png   (the light one, under another name)
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.report.browser import Browser  # noqa: E402 - the root has to be on the path first

PICTURES = (("report.png", False, "#section-map"), ("report-dark.png", True, "#section-histograms"))
"""File, whether it is dark, and what stands at the top."""


async def draw(page: Path, alone: str | None = None) -> None:
    """Take the pictures of a page, or the first alone under another name."""
    with tempfile.TemporaryDirectory() as profile:
        async with Browser(Path(profile)) as browser:
            for name, dark, top in PICTURES if alone is None else [(alone, *PICTURES[0][1:])]:
                await browser.open(page, dark=dark)
                await browser.js(f"document.querySelector('{top}').scrollIntoView({{behavior: 'instant'}})")
                if not dark:
                    await browser.js("window.scrollTo({top: 0, behavior: 'instant'})")
                (ROOT / "docs" / "img" / name).write_bytes(
                    await browser.picture(height=1500 if not dark else 900)
                )


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1]), *sys.argv[2:3]))
