"""Downloads that are killed, starved, lied to or run twice: what is on disk at the end is what the products hold."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s2pipe.testing import Fault, Service, stored
from s2pipe.testing.fake import L1C, L2A, SQUARE, make_safe, manifest_of
from tests.faults.bed import DONE, Place, Trial
from tests.faults.child import Command, Ended, Limits, run, run_killed
from tests.faults.ledger import REPORTED, RERUN, UNHARMED, numbers

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.faults
BANDS = ("B02", "B03")
SIZE = 40_000
SEARCH = "catalogue/odata/v1/Products?"


class Served(Place):
    """A dataset that is downloaded from a service."""

    service: Service

    def arguments(self) -> tuple[object, ...]:
        """The command of the download."""
        given = {
            "--query.tile-id": ["33UWQ"],
            "--selection.l1c-bands": BANDS,
            "--query.date-from-utc": ["2025-12-01"],
            "--query.date-to-utc": ["2025-12-31"],
            "--download.out-dir": [self.root],
            "--download.chunk-size": [8192],
            "--download.retry.base-delay-s": ["0.01"],
            "--download.retry.max-delay-s": ["0.05"],
            "--download.retry.max-attempts": [4],
        }
        return ("download", "--quiet", *itertools.chain(*([key, *values] for key, values in given.items())))

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """Variables that point to the service."""
        account = {
            "CDSE_USERNAME": self.service.tokens.username,
            "CDSE_PASSWORD": self.service.tokens.password,
        }
        return tuple({**self.service.environment, **account}.items())


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = Served(tmp_path_factory.mktemp("faults") / "served")
    held = place.base / "held"
    products = [
        stored(make_safe(held, name, size=SIZE, bands=BANDS), footprint=SQUARE) for name in (L1C, L2A)
    ]
    place.root.mkdir(parents=True)
    place.keep("products")
    with Service(products) as service:
        object.__setattr__(place, "service", service)
        with pytest.MonkeyPatch.context() as patch:
            for key, value in place.environment:
                patch.setenv(key, value)
            place.outside.mkdir()
            this = Trial(place, {}, "", "")
            assert this.command(*place.arguments()) == 0, this.said
            place.keep(DONE)
            yield place


@pytest.fixture(autouse=True)
def _no_faults(served: Served) -> Iterator[None]:
    yield
    served.service.faults.clear()
    served.service.rate = None
    for product in served.service.products.values():
        product.overrides.clear()


_USUAL: list[Ended] = []


def usual(served: Served, scratch: Path) -> Ended:
    """How the download ends undisturbed, at the rate at which it is killed; measured once."""
    while len(_USUAL) < 2:  # the first imports what is missing
        served.restore("products")
        _USUAL.append(run(served.arguments(), scratch, Limits(environment=served.environment)))
        assert _USUAL[-1].code == 0, _USUAL[-1].stderr
    return _USUAL[-1]


@pytest.mark.parametrize("number", numbers(30))
def test_kill(
    served: Served, trial: Callable[..., Trial], draw: random.Random, tmp_path: Path, number: int
) -> None:
    served.service.rate, served.service.piece = 1_500_000, 8 << 10
    undisturbed = usual(served, tmp_path)
    this = trial(served, "kill -9", "download")
    this.start("products")
    kills = draw.choice((1, 1, 2, 3))
    while kills:
        kind = draw.choice(("truncate", "reset"))
        served.service.faults.add(Fault(kind, "_B0", 1, at=draw.randrange(SIZE)))
        limits = {"environment": served.environment}
        ended = run_killed(served.arguments(), tmp_path, draw, undisturbed, **limits)
        this.hear(ended.stderr)
        this.look()
        if ended.code == -9:
            kills -= 1
        elif ended.code == 0:  # it was done before
            this.start("products")
    served.service.faults.clear()
    served.service.rate = None
    assert this.command(*served.arguments()) == 0, this.said
    this.end(RERUN)


@pytest.mark.parametrize("number", numbers(8))
def test_full_disk(
    served: Served, trial: Callable[..., Trial], draw: random.Random, tmp_path: Path, number: int
) -> None:
    this = trial(served, "full disk (largest file)", "download")
    this.start("products")
    limits = Limits(most_bytes=draw.randrange(SIZE), environment=served.environment)
    ended = run(served.arguments(), tmp_path, limits)
    this.hear(ended.stderr)
    this.look()
    assert ended.code in (1, 2), ended.stderr
    assert this.command(*served.arguments()) == 0, this.said
    this.end(RERUN)


@pytest.mark.parametrize("number", numbers(6))
def test_two_runs(
    served: Served, trial: Callable[..., Trial], draw: random.Random, tmp_path: Path, number: int
) -> None:
    this = trial(served, "two runs at once", "download")
    this.start("products")
    limits = Limits(environment=served.environment)
    runs = [Command(served.arguments(), tmp_path, limits) for _ in range(2)]
    ended = [each.wait() for each in runs]
    for each in ended:
        this.hear(each.stderr)
        assert each.code == 0 or (each.code == 2 and "lock" in each.stderr), each.stderr
    is_done = not any(each.code for each in ended)
    assert this.command(*served.arguments()) == 0, this.said
    this.end(UNHARMED if is_done else RERUN)


ANSWERS: dict[str, Callable[[random.Random], Fault]] = {
    "truncated": lambda draw: Fault("truncate", "_B0", None, at=draw.randrange(SIZE)),
    "reset": lambda draw: Fault("reset", "_SCL", None, at=draw.randrange(SIZE)),
    "corrupt": lambda draw: Fault("corrupt", "_B03", None, at=draw.randrange(SIZE)),
    "corrupt once": lambda draw: Fault("corrupt", "_B03", 1, at=draw.randrange(SIZE)),
    "other range": lambda _: Fault("wrong_range", "_B02", None),
    "longer": lambda _: Fault("longer", "MTD_TL", None),
    "shorter": lambda draw: Fault("short_length", "_SCL", None, at=draw.randrange(SIZE)),
    "manifest corrupt": lambda draw: Fault("corrupt", "manifest.safe", None, at=draw.randrange(2000)),
    "failing": lambda _: Fault("status", "MTD_MSIL1C", None, status=500),
    "redirected": lambda _: Fault("redirect", "_B02", None, location="http://127.0.0.1:9/steal"),
    "catalogue cut": lambda _: Fault("body", SEARCH, None, body=b'{"value": ['),
    "catalogue deep": lambda _: Fault("body", SEARCH, None, body=b"[" * 200_000),
    "catalogue null": lambda _: Fault("body", SEARCH, None, body=b"null"),
}


@pytest.mark.parametrize("number", numbers(2))
@pytest.mark.parametrize("kind", ANSWERS)
def test_answers(
    served: Served, trial: Callable[..., Trial], draw: random.Random, kind: str, number: int
) -> None:
    this = trial(served, "damaged input", "answers of the service")
    this.start("products")
    served.service.faults.add(ANSWERS[kind](draw))
    code = this.command(*served.arguments())
    served.service.faults.clear()
    assert this.command(*served.arguments()) == 0, this.said
    # The service states the size of manifest.safe and no checksum.
    unprotected = "manifest.safe" if kind == "manifest corrupt" else ""
    this.end(REPORTED if code else UNHARMED, unprotected=unprotected)


NAMES = (
    *("../../../../outside/evil.jp2", "/tmp/s2pipe-evil.jp2", "C:\\evil.jp2", "..\\..\\evil.jp2", "x" * 5000),
    *("GRANULE/../../../outside/secret", "a&#9;b", "NUL"),
)


@pytest.mark.parametrize("name", NAMES[: len(numbers(len(NAMES)))])
@pytest.mark.parametrize("where", ["manifest.safe", "listing", "product"])
def test_names(served: Served, trial: Callable[..., Trial], name: str, where: str) -> None:
    this = trial(served, "hostile path", "names from the service")
    this.start("products")
    if where == "manifest.safe":
        for product in served.service.products.values():
            product.overrides["manifest.safe"] = manifest_of({name: b"x"})
    elif where == "listing":
        listing = {"result": [{"Name": name, "ContentLength": 0, "ChildrenNumber": 3}]}
        served.service.faults.add(Fault("body", "/Nodes", None, body=json.dumps(listing).encode()))
    else:
        row = {**next(iter(served.service.products.values())).row, "Name": name}
        page = {"value": [row], "@odata.count": 1}
        served.service.faults.add(Fault("body", SEARCH, None, body=json.dumps(page).encode()))
    code = this.command(
        *served.arguments(), "--nodes-index.mode", "walk" if where == "listing" else "manifest"
    )
    assert not Path("/tmp/s2pipe-evil.jp2").exists()
    assert not any(os.sep + "evil" in str(path) for path in served.base.rglob("*evil*"))
    served.service.faults.clear()
    for product in served.service.products.values():
        product.overrides.clear()
    assert this.command(*served.arguments()) == 0, this.said
    this.end(REPORTED if code else UNHARMED)
