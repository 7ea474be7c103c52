"""Progress: what is counted, who is told, and what a terminal shows."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest

import s2pipe
from s2pipe.preprocess.cfg import OutputConfig, PreprocessConfig
from s2pipe.preprocess.pixels import blocks
from s2pipe.preprocess.run import run_preprocess
from s2pipe.runtime.progress import ByteProgress, Progress, ProgressState, advance, watch_progress
from tests.terminal import run_in_terminal, screen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Dataset

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


def test_rows_move_the_whole_within_an_item() -> None:
    with Progress("scenes", 2, {"a": 100, "b": 300}) as progress:
        assert progress.state.fraction == 0.0
        assert progress.state.seconds_left is None
        advance(50, 1000)
        state = progress.state
        assert (state.rows_done, state.rows_total, state.fraction, state.bytes_done) == (50, 400, 0.125, 1000)
        assert state.seconds_left == pytest.approx(7 * state.seconds, rel=0.01)
        progress.step("a")
        assert progress.state.fraction == 0.25  # whatever its windows counted
        advance(300, 6000)
        progress.step("b")
        assert (progress.state.fraction, progress.state.seconds_left) == (1.0, 0.0)
    advance(1, 1)  # nobody counts any more
    assert progress.state.bytes_done == 7000


def test_scenes_that_need_no_work_do_not_speed_up_the_rest() -> None:
    with Progress("scenes", 3, {"a": 100, "b": 100, "c": 100}) as progress:
        progress.step("a")
        advance(50, 1)
        assert progress.state.seconds_left == pytest.approx(3 * progress.state.seconds, rel=0.01)


def test_a_watcher_is_told_of_bytes_from_threads() -> None:
    states: list[ProgressState] = []
    with watch_progress(states.append):
        progress = ByteProgress(400, 4)

        def fetch() -> None:
            progress.add(100)
            progress.file_done()

        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert states[-1].done == states[-1].total == 4
    assert states[-1].bytes_done == 400
    assert [state.done for state in states] == sorted(state.done for state in states)


def test_python_sees_a_run_move_within_its_scenes(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "_WINDOW_PIXELS", 732 * 128)  # several windows in a small scene
    states: list[ProgressState] = []
    config = PreprocessConfig(
        index_json=dataset.index_json,
        out_dir=tmp_path,
        target_grid_ref="B02",
        l1c_bands=("B02", "B03"),
        output=OutputConfig(tile_px=128),
    )
    with s2pipe.watch_progress(states.append):
        run_preprocess(config)
    assert [state.rows_done for state in states] == sorted(state.rows_done for state in states)
    last = states[-1]
    assert (last.what, last.done, last.total, last.fraction) == ("scenes", 2, 2, 1.0)
    assert last.rows_done == last.rows_total > 0
    assert last.bytes_per_second > 0
    assert any(0 < state.rows_done < last.rows_total // 2 for state in states)
    assert not any(state.done for state in states if state.rows_done < last.rows_total // 2)


LOUD = """
import logging, sys
from s2pipe.cli.output import set_up_logging
from s2pipe.runtime.progress import Progress, advance
set_up_logging(logging.INFO)
log = logging.getLogger("s2pipe.x")
with Progress("scenes", 3, {"a": 10, "b": 10, "c": 10}) as progress:
    for name in "abc":
        for row in range(10):
            advance(1, 1_000_000)
            if row % 4 == 0:
                log.info("line %s %d", name, row)
        log.warning("finished %s", name)
        progress.step(name)
"""


@needs_terminal
def test_log_lines_stand_above_the_bar() -> None:
    code, written = run_in_terminal("-c", LOUD)
    assert code == 0, written
    lines = [line for line in screen(written) if line]
    expected = [
        line for name in "abc" for line in (*(f"line {name} {row}" for row in (0, 4, 8)), f"finished {name}")
    ]
    assert [line.replace("\x1b[33m", "") for line in lines[:-1]] == expected
    assert lines[-1].startswith("scenes 3/3")
    assert "100%" in lines[-1]
    assert "30/30 rows" in lines[-1]
    assert "MB/s" in lines[-1]
    assert len(lines[-1]) <= 100
    assert "\x1b[33mfinished a" in written


@needs_terminal
@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_switched_off(variables: dict[str, str]) -> None:
    code, written = run_in_terminal("-c", LOUD, **variables)
    assert code == 0
    assert "\x1b[33m" not in written
    assert ("100%" in written) == ("TERM" not in variables)


@needs_terminal
def test_errors_are_red_on_a_terminal_alone(tmp_path: Path) -> None:
    arguments = ("-m", "s2pipe", "validate", "--quiet", "--verbose", "x.json")
    code, written = run_in_terminal(*arguments, cwd=tmp_path)
    assert (code, "\x1b[31ms2pipe validate: --quiet" in written) == (2, True)
    code, written = run_in_terminal(*arguments, cwd=tmp_path, NO_COLOR="1")
    assert (code, "\x1b[" in written) == (2, False)
