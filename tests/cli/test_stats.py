"""``s2pipe stats merge``: what it refuses before it reads anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s2pipe.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected `s2pipe stats merge PATH... --out stats.json`"),
        (["mean", "x"], "expected `s2pipe stats merge PATH... --out stats.json`"),
        (["merge", "."], "--out FILE is needed"),
        (["merge", ".", "-o", "s.json", "--no-clip", "--clip-percentiles", "1", "99"], "exclude each other"),
        (["merge", ".", "-o", "s.json"], "no histogram.npz of a scene found in"),
    ],
)
def test_wrong_requests_name_the_cure_and_write_nothing(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["stats", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_needs_no_second_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stats", "--help"])
    assert ended.value.code == 0
    assert "usage: s2pipe stats merge" in capsys.readouterr().out
