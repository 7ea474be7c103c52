"""Run blocks as a reader would, in this process and in the working directory; check those that cannot run."""

from __future__ import annotations

import argparse
import ast
import glob
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from s2pipe.cli import main
from s2pipe.config.steps import STEPS, build_config
from tests.docs.blocks import Block, blocks_of, commands
from tests.paths import ROOT

SHELLS = ("bash", "console", "sh")
BASE: dict[str, dict[str, Any]] = {
    "preprocess": {"index_json": "out/meta/step1/index.json", "out_dir": "out", "target_grid_ref": "scl_20m"},
    "patches": {"index_json": "out/meta/step2/index.json", "out_dir": "patches"},
}
"""Mandatory keys that the documentation leaves out where it speaks of others."""


class Parsed(Exception):  # noqa: N818 - it ends a parser, and is no error
    """A command understood its arguments."""


def run_page(page: str) -> None:
    """Run the blocks of a page in order; Python blocks share their names.

    A Python block that starts with the name of a file, as a comment, is written to that file instead.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks_of(page):
        check(block)
        if not block.runs_here:
            continue
        if block.language == "python" and (name := re.match(r"# ([\w/]+\.py)\n", block.text)):
            Path(name[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(name[1]).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile("\n" * block.line + block.text, block.page, "exec"), names)
        elif block.language in SHELLS:
            for words in commands(block):
                run_command(block, words)


def run_command(block: Block, words: list[str]) -> None:
    """Run one command; it has to succeed."""
    if words[0] == "export":
        for name, value in (word.split("=", 1) for word in words[1:]):
            os.environ.setdefault(name, value)  # the service's own account stays
        return
    if words[0] == "cd":
        os.chdir(words[1])
        return
    output = None
    if ">" in words:
        output = Path(words[words.index(">") + 1])
        words = words[: words.index(">")]
    arguments = [name for word in words[1:] for name in _expanded(word)]
    if words[0] == "s2pipe" and output is None:
        code = main(arguments)
    else:
        assert words[0] in ("s2pipe", "python"), (
            f"{block}: mark it `not run`, or teach run_command {words[0]!r}"
        )
        module = ["-m", "s2pipe"] if words[0] == "s2pipe" else []
        bin_of_python = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        path = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
        done = subprocess.run(
            [sys.executable, *module, *arguments],
            env={**os.environ, "PYTHONPATH": path, "PATH": bin_of_python},
            capture_output=True,
            text=True,
            check=False,
        )
        code = done.returncode
        assert code == 0, f"{block}: {' '.join(words)}\n{done.stderr}"
        if output is not None:
            output.write_text(done.stdout)
    assert code == 0, f"{block}: {' '.join(words)} ended with {code}"


def _expanded(word: str) -> list[str]:
    """Return what a shell makes of a word."""
    if word.startswith("~"):
        word = str(Path(word).expanduser())
    return sorted(glob.glob(word)) or [word] if "*" in word else [word]  # noqa: PTH207 - of any place


def check(block: Block) -> None:
    """Check a block without running it: syntax, imports from s2pipe, keys of configurations, options of commands."""
    if block.language == "python":
        _check_python(block)
    elif block.language in ("yaml", "json"):
        _check_document(block)
    else:
        for words in commands(block):
            _check_command(block, words)


def _check_python(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text, str(block))):
        if not isinstance(node, ast.ImportFrom) or not re.match(r"s2(?:pipe|kernels)\b", node.module or ""):
            continue
        if node.module in ("s2pipe.torch", "s2pipe.lightning", "s2pipe.torchgeo") and not block.runs_here:
            continue  # PyTorch is not here
        module = importlib.import_module(node.module or "")
        for alias in node.names:
            assert hasattr(module, alias.name), f"{block}: {node.module} has no {alias.name}"


def _check_document(block: Block) -> None:
    text = block.text
    if block.language == "yaml":
        document = yaml.safe_load(text)
    else:
        document = json.loads(text if text.lstrip().startswith("{") else f"{{{text}}}")
    for name in STEPS.keys() & document.keys():
        given = document[name]
        base = dict(BASE.get(name, {}))
        if name == "preprocess" and "bands" not in given:
            base["l1c_bands"] = ["B02"]
        if "target_grid" in given:
            del base["target_grid_ref"]
        build_config({**base, **given}, STEPS[name], str(block))


def _check_command(block: Block, words: list[str]) -> None:
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        for word in words[1:]:
            assert "=" in word or word in targets, f"{block}: no target {word}"
    elif words[0] == "s2pipe" and len(words) > 1:
        arguments = words[1 : words.index(">")] if ">" in words else words[1:]
        if "..." not in "".join(arguments):
            assert understands(arguments), f"{block}: {' '.join(words)}"


def understands(arguments: list[str]) -> bool:
    """Tell whether the command line takes these arguments, without running the command."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: Any, args: Any = None, namespace: Any = None) -> Any:
        parse_args(self, args, namespace)
        raise Parsed

    with mock.patch.object(argparse.ArgumentParser, "parse_args", parse_and_stop):
        try:
            main(arguments)
        except Parsed:
            return True
        except SystemExit as stop:
            return stop.code in (0, None)
    return False
