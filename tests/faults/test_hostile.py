"""Hostile files: foreign formats as pixels, paths that lead out, and what breaks parsers.

Whoever plants them also makes recorded checksums and seals fit, so that these alone do not save the day.
"""

from __future__ import annotations

import json
import random
import shutil
import socketserver
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from s2pipe.dataset.proof import SEAL, FileRecord, write_sealed
from s2pipe.runtime.hashing import hash_file
from tests.faults.bed import DONE, STEPS, Bed, Trial
from tests.faults.ledger import REFUSED, UNHARMED, numbers
from tests.fuzz.known import KNOWN
from tests.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.faults
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
BAND = "products/*L1C*20251210*/GRANULE/*/IMG_DATA/*B05.jp2"


def some(cases: list[Any]) -> list[Any]:
    """As many of the cases as the size of the suite asks for."""
    wanted = len(numbers(len(cases)))
    return random.Random(1).sample(cases, wanted)


def end(this: Trial, code: int) -> None:
    """A hostile file is refused with a word, or changes nothing."""
    assert code in (0, 1, 2), this.said
    assert code == 0 or "".join(this.said).strip()
    this.end(UNHARMED if code == 0 else REFUSED, is_whole=False)


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON document, with its seal if it has one."""
    document = json.loads(path.read_bytes())
    is_sealed = SEAL in document
    change(document)
    try:
        write_sealed(path, document) if is_sealed else path.write_text(json.dumps(document))
    except UnicodeEncodeError:  # a surrogate, of which no seal can be made
        path.write_text(json.dumps({key: value for key, value in document.items() if key != SEAL}))


def record_anew(bed: Bed, path: Path) -> None:
    """Make the Step-1 index say that an input is as it is now."""

    def change(document: Any) -> None:
        for scene in document["scenes"]:
            for item in (*scene["files_l1c"]["items"], *scene["files_l2a"]["items"]):
                if (bed.root / item["path"]).resolve() == path.resolve():
                    item["size"] = path.stat().st_size
                    item["checksum"] = {"algorithm": "SHA-256", "value": hash_file(path, "sha256")}

    edit(bed.root / "meta/step1/index.json", change)


class _Listener(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.server.seen.append(self.client_address)  # type: ignore[attr-defined]


@pytest.fixture
def listener() -> Iterator[Any]:
    """A host that nobody is to call."""
    with socketserver.TCPServer(("127.0.0.1", 0), _Listener) as server:
        server.seen = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def _vrt(source: str) -> bytes:
    return f"""<VRTDataset rasterXSize="96" rasterYSize="96"><SRS>EPSG:32633</SRS>
<GeoTransform>499980, 20, 0, 5500020, 0, -20</GeoTransform><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>
<SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>""".encode()


def _tiff(path: Path) -> bytes:
    from osgeo import gdal

    name = "/vsimem/hostile.tif"
    gdal.Translate(name, str(path), format="GTiff")
    handle = gdal.VSIFOpenL(name, "rb")
    data = bytes(gdal.VSIFReadL(1, gdal.VSIStatL(name).size, handle))
    gdal.VSIFCloseL(handle)
    gdal.Unlink(name)
    return data


FOREIGN: dict[str, Callable[[Path, str], bytes]] = {
    "VRT over a file": lambda path, _: _vrt(str(path.parents[5] / "foreign.jp2")),
    "VRT over the network": lambda _, url: _vrt(f"/vsicurl/{url}/x.jp2"),
    "WMS": lambda _, url: (
        f"<GDAL_WMS><Service name='TMS'><ServerUrl>{url}</ServerUrl></Service></GDAL_WMS>".encode()
    ),
    "GeoTIFF": lambda path, _: _tiff(path),
    "PNG": lambda _path, _url: b"\x89PNG\r\n\x1a\n" + bytes(100),
    "text": lambda _path, _url: b"/etc/passwd\n",
    "signature alone": lambda _path, _url: b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    "nothing": lambda _path, _url: b"",
    "another size": lambda path, _: next(path.parents[5].rglob("*B02.jp2")).read_bytes(),
}


@pytest.mark.parametrize("kind", some([*FOREIGN]))
@pytest.mark.parametrize("place", ["band", "scene classification"])
def test_pixels_of_another_format(
    bed: Bed, trial: Callable[..., Trial], listener: Any, kind: str, place: str
) -> None:
    this = trial(bed, "hostile input", f"{place} of another format")
    this.start("index")
    (path,) = bed.place.glob(
        BAND if place == "band" else "products/*L2A*20251210*/GRANULE/*/IMG_DATA/R20m/*SCL*"
    )
    shutil.copy(path, path.parents[5] / "foreign.jp2")
    path.write_bytes(FOREIGN[kind](path, f"http://127.0.0.1:{listener.server_address[1]}"))
    record_anew(bed, path)
    this.settle()
    code = this.run("stats", "apply")
    assert listener.seen == []
    end(this, code)


@pytest.mark.parametrize("kind", some(["aux", "world file", "msk", "ovr"]))
def test_files_beside_pixels(bed: Bed, trial: Callable[..., Trial], kind: str) -> None:
    this = trial(bed, "hostile input", "files beside a band")
    this.start("index")
    (path,) = bed.place.glob(BAND)
    content = {
        "aux": ("{}.aux.xml", b"<PAMDataset><GeoTransform>0,1,0,0,0,-1</GeoTransform></PAMDataset>"),
        "world file": ("{}w", b"1\n0\n0\n-1\n0\n0\n"),
        "msk": ("{}.msk", _vrt(str(bed.outside / "secret"))),
        "ovr": ("{}.ovr", _vrt(str(bed.outside / "secret"))),
    }
    name, data = content[kind]
    for each in (path, *bed.root.rglob(path.name)):
        Path(name.format(each)).write_bytes(data)
    this.settle()
    end(this, this.run("stats", "apply"))


@pytest.mark.parametrize(
    ("old", "new"),
    some(
        [
            (b"EPSG:32633", b"EPSG:32632"),
            (b"<ULX>", b"<ULX>1"),
            (b"<NROWS>", b"<NROWS>1"),
            (b"<ULY>5", b"<ULY>1e300"),
            (b"</ULX>", b"e300</ULX>"),
            (b"EPSG:32633", b"EPSG:999999"),
        ]
    ),
)
def test_metadata_of_other_ground(bed: Bed, trial: Callable[..., Trial], old: bytes, new: bytes) -> None:
    this = trial(bed, "hostile input", "MTD_TL.xml of other ground")
    this.start("index")
    (path,) = bed.place.glob("products/*L1C*20251210*/GRANULE/*/MTD_TL.xml")
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))
    record_anew(bed, path)
    this.settle()
    code = this.run("stats", "apply")
    assert code == 1
    end(this, code)


PATHS = (
    "../../outside/secret",
    "../../outside/new.tif",
    "{outside}/secret",
    "/etc/passwd",
    "..\\..\\outside\\secret",
    "a\0b",
    "C:\\secret",
    "processed/../../../outside/secret",
    "CON",
    "\ud800",
    "link/secret",
)
DOCUMENTS = {
    "Step-1 index": ("root/meta/step1/index.json", "stats"),
    "Step-2 index": ("root/meta/step2/index.json", "patches"),
    "meta.json": ("root/processed/*/*/meta.json", "patches"),
    "shards.json": ("root/patches/shards.json", "reshard"),
    "shards.json of the output": ("root/resharded/shards.json", "reshard"),
    "stats.json": ("root/stats.json", "apply"),
    "split.json": ("root/patches/split.json", "patches"),
}
_PATH_KEYS = {
    "path",
    "x_path",
    "y_path",
    "meta_path",
    "angles_path",
    "root_dir",
    "x",
    "y",
    "angles",
    "out_dir",
}


def _slots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Places of a document that hold a path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if isinstance(item, str) and (key in _PATH_KEYS or ("/" in item and " " not in item)):
            yield value, key
        yield from _slots(item)


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("number", numbers(8))
def test_paths_that_lead_out(
    bed: Bed, trial: Callable[..., Trial], draw: random.Random, document: str, number: int
) -> None:
    this = trial(bed, "hostile path", document)
    this.start(DONE)
    pattern, step = DOCUMENTS[document]
    (bed.root / "link").symlink_to(bed.outside)

    def change(content: Any) -> None:
        slots = list(_slots(content))
        holder, key = draw.choice(slots) if slots else (content, "path")
        holder[key] = draw.choice(PATHS).format(outside=bed.outside)

    edit(bed.file(pattern, draw), change)
    for left in {
        "stats": ["histogram.npz"],
        "reshard": ["resharded/summary.json"],
        "patches": ["patches/train"],
    }.get(step, []):
        path = bed.root / left
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    code = this.run(*STEPS[STEPS.index(step) :])
    this.run("verify")
    end(this, code)


@pytest.mark.parametrize(
    "name", some(["train", "test", ".progress", ".lock", "patches.parquet", "shards.json"])
)
@pytest.mark.parametrize("where", ["patches", "resharded"])
def test_links_in_the_way_of_shards(bed: Bed, trial: Callable[..., Trial], name: str, where: str) -> None:
    _links_in_the_way(trial(bed, "hostile path", "links in the way of shards"), f"{where}/{name}", "patches")


@pytest.mark.parametrize(
    "name",
    some(
        [
            "meta/step2",
            "meta/step2/index.json",
            "processed",
            "cache",
            "stats.json",
            "histogram.npz",
            "x",
            "sample",
        ]
    ),
)
def test_links_in_the_way_of_samples(bed: Bed, trial: Callable[..., Trial], name: str) -> None:
    sample = "processed/tile=T33UWQ/sensing=2025-12-10T100319Z"
    name = {"x": f"{sample}/x.tif", "sample": sample}.get(name, name)
    _links_in_the_way(trial(bed, "hostile path", "links in the way of samples"), name, "stats")


def _links_in_the_way(this: Trial, name: str, step: str) -> None:
    assert isinstance(this.bed, Bed)
    this.start(DONE)
    path = this.bed.root / name
    is_directory = path.is_dir() or not path.suffix
    if path.is_dir():
        shutil.copytree(path, this.bed.outside / "taken")
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
        (this.bed.outside / "taken").mkdir()
    path.symlink_to(this.bed.outside / ("taken" if is_directory else "secret"))
    this.settle()
    this.damaged = {name}
    this.run("verify")
    code = this.run(*STEPS[STEPS.index(step) :])
    end(this, code)


def _column_cases() -> list[str]:
    from tests.patches.test_hostile_source import IMPOSSIBLE

    return [
        case for case in IMPOSSIBLE if case != "two items at once"
    ]  # needs a database of kept patches alone


@pytest.mark.parametrize("case", some(_column_cases()))
def test_columns_that_no_run_writes(bed: Bed, trial: Callable[..., Trial], case: str) -> None:
    from tests.patches.test_hostile_source import IMPOSSIBLE
    from tests.patches.test_hostile_source import edit as edit_column

    this = trial(bed, "hostile path", "columns of patches.parquet")
    this.start("patches")
    edit_column(bed.root / "patches", *IMPOSSIBLE[case])
    code = this.run("reshard")
    assert code == 2
    end(this, code)


CONDITIONS = [
    "read_text('{outside}/secret') IS NOT NULL",
    "(SELECT count(*) FROM read_csv('/etc/passwd')) > 0",
    "row >= 0; COPY (SELECT 1) TO '{outside}/new'",
    "row >= 0) TO '{outside}/new' --",
    "getenv('HOME') <> ''",
    "row IN (SELECT row FROM read_parquet('{root}/patches/patches.parquet'))",
    "ATTACH '{outside}/new.db'",
    "row >= 0 UNION ALL SELECT * FROM '{outside}/secret'",
    "INSTALL httpfs",
    "col = (SELECT 1 FROM range(1000000000000))",
    "1 = 1 /*",
    "\0",
]


@pytest.mark.parametrize("condition", some(CONDITIONS))
def test_conditions_are_no_statements(bed: Bed, trial: Callable[..., Trial], condition: str) -> None:
    this = trial(bed, "hostile path", "condition of --from-db")
    this.start("patches")
    text = condition.format(outside=bed.outside, root=bed.root)
    source = ("--db", bed.root / "patches/patches.parquet", "--quiet")
    code = this.command("patches", bed.place / "reshard.json", "--from-db", text, *source)
    assert code == 2
    end(this, code)


MEMBERS = ["../../evil", "/tmp/s2pipe-evil", "a/../../../evil", "link", "C:\\evil", "twice", "other product"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("member", some(MEMBERS))
def test_members_of_archives(packed_bed: Bed, trial: Callable[..., Trial], member: str) -> None:
    this = trial(packed_bed, "hostile path", "members of zip archives")
    this.start("products")
    (path,) = packed_bed.place.glob("products/*L1C*20251210*.zip")
    safe = path.stem + ".SAFE"
    names = {
        "link": f"{safe}/link",
        "twice": f"{safe}/manifest.safe",
        "other product": "S2B_x.SAFE/manifest.safe",
    }
    info = zipfile.ZipInfo(names.get(member, member))
    if member == "link":
        info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, str(packed_bed.outside / "secret"))
    this.settle()
    code = this.run("index", "stats")
    assert not Path("/tmp/s2pipe-evil").exists()
    end(this, code)


ENCODINGS = (
    "utf-7",
    "utf-16",
    "utf-32",
    "shift_jis",
    "cp037",
    "iso-2022-jp",
    "gb18030",
    "undefined",
    "no-such-code",
)


@pytest.mark.parametrize("encoding", some([*ENCODINGS]))
@pytest.mark.parametrize("name", ["MTD_MSIL1C.xml", "manifest.safe", "GRANULE/*/MTD_TL.xml"])
def test_encodings(bed: Bed, trial: Callable[..., Trial], encoding: str, name: str) -> None:
    this = trial(bed, "hostile input", "encodings of XML")
    this.start("products")
    (path,) = bed.place.glob(f"products/*L1C*20251210*/{name}")
    text = path.read_bytes().decode().split("?>", 1)[-1]
    declared = f'<?xml version="1.0" encoding="{encoding}"?>{text}'
    try:
        path.write_bytes(declared.encode(encoding))
    except (LookupError, UnicodeError):
        path.write_bytes(declared.encode())
    this.settle()
    end(this, this.run("index", "stats"))


READERS = {
    "product_xml": ("products/*L1C*20251210*/MTD_MSIL1C.xml", "index"),
    "manifest_safe": ("products/*L1C*20251210*/manifest.safe", "index"),
    "step1_index": ("root/meta/step1/index.json", "stats"),
    "stats": ("root/stats.json", "apply"),
    "histogram": ("root/histogram.npz", "apply"),
    "sample_meta": ("root/processed/*/*/meta.json", "patches"),
    "split": ("root/patches/split.json", "patches"),
    "database": ("root/patches/patches.parquet", "reshard"),
    "json": ("apply.json", "apply"),
    "yaml": ("apply.json", "apply"),
    "config": ("apply.json", "apply"),
    "zip": ("products/evil.zip", "index"),
}


def _parser_cases() -> list[tuple[str, str]]:
    kept = [
        (path.parent.name, path.name) for path in sorted(CORPUS.glob("*/*")) if path.parent.name in READERS
    ]
    made = [(target, f"made: {name}") for target, name, _ in KNOWN if target in READERS]
    return kept + made


@pytest.mark.parametrize(("target", "name"), some(_parser_cases()))
def test_what_parsers_once_broke_on(
    bed: Bed, trial: Callable[..., Trial], draw: random.Random, target: str, name: str
) -> None:
    this = trial(bed, "hostile input", "what once broke parsers")
    pattern, step = READERS[target]
    this.start("products" if step == "index" else DONE)
    made = {(t, f"made: {n}"): make for t, n, make in KNOWN}
    data = made[target, name]() if (target, name) in made else (CORPUS / target / name).read_bytes()
    path = bed.place / pattern if target == "zip" else bed.file(pattern, draw)
    if target == "yaml":
        path = path.with_suffix(".yaml")
    path.write_bytes(data)
    if target == "database":
        record = FileRecord.of(path, path.name).to_document()
        edit(bed.root / "patches/shards.json", lambda document: document["files"].insert(0, record))
    this.settle()
    if target == "yaml":
        code = this.command("preprocess", path, "--quiet")
    else:
        code = this.run(*STEPS[STEPS.index(step) :])
    end(this, code)
