"""What a built site would load from other hosts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
_CSS_URL = re.compile(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)")


def requests_of_site(site: Path) -> list[str]:
    """Return one line for each file that loads something from another host."""
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            parser = _Loads()
            parser.feed(path.read_text(encoding="utf-8"))
            found += [f"{path.relative_to(site)}: {address}" for address in parser.addresses]
        elif path.suffix == ".css":
            found += [f"{path.relative_to(site)}: {url}" for url in _CSS_URL.findall(path.read_text("utf-8"))]
    return found


class _Loads(HTMLParser):
    """Collects addresses that a browser fetches by itself; links that a reader may follow are none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        loaded = values.get(_LOADING.get(tag, ""))
        if tag == "link" and values.get("rel") != "canonical":
            loaded = values.get("href")
        if loaded and re.match(r"(?:https?:)?//", loaded):
            self.addresses.append(f"<{tag}> {loaded}")
