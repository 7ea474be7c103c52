"""Pages of the documentation that are made when the site is built: from README, command line, schemas and notebooks.

Nothing here knows MkDocs. Each page is Markdown whose links are relative to ``docs/``.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
COPIED = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "LICENSE": "license.md",
    "kernels/README.md": "kernels.md",
}
"""Documents of the repository outside ``docs/``, and the page that each becomes."""
ELSEWHERE = {
    "configs": "examples.md",
    "schemas": "schemas.md",
    "docs/examples": "examples.md",
    "docs/examples/cluster": "examples.md",
}
"""Directories that documents link to, and the page that shows what is in them."""
_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_FENCE = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def generated() -> dict[str, str]:
    """Return all generated pages: path below ``docs/`` and Markdown."""
    pages = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in COPIED.items()}
    pages["cli.md"] = command_line()
    pages["schemas.md"] = schemas()
    pages["examples.md"] = examples()
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        pages[f"notebooks/{notebook.stem}.md"] = notebook_page(
            json.loads(notebook.read_text(encoding="utf-8"))
        )
    return pages


def with_links_of_site(page: str, markdown: str) -> str:
    """Turn links that are right in the repository into those of the site.

    Parameters
    ----------
    page : str
        Path of the page below ``docs/``.
    markdown : str
        Its text, with links relative to the file that it comes from.
    """
    source = next((source for source, copy in COPIED.items() if copy == page), f"docs/{page}")

    def moved(match: re.Match[str]) -> str:
        target, hash_sign, anchor = match[2].partition("#")
        if not target or ":" in target:
            return match[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        new = COPIED.get(place) or ELSEWHERE.get(place) or place.removeprefix("docs/")
        new = re.sub(r"\.ipynb$", ".md", new)
        relative = posixpath.relpath(new, posixpath.dirname(page) or ".")
        return f"{match[1]}{relative}{hash_sign}{anchor}{match[3]}"

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(moved, part) for part in parts)


def command_line() -> str:
    """Return what ``--help`` says, command by command."""
    from s2pipe.cli.commands import COMMANDS

    parts = [
        "# Command line\n\nWhat `s2pipe --help` and `s2pipe COMMAND --help` print.\n\n",
        _fence(help_of()),
    ]
    for command in COMMANDS:
        parts += [f"\n## `s2pipe {command}`\n\n", _fence(help_of(command))]
    return "".join(parts)


def help_of(*command: str) -> str:
    """Ask the command line itself."""
    environment = {**os.environ, "COLUMNS": "110", "NO_COLOR": "1"}
    for option in ("--help-all", "--help"):
        done = subprocess.run(
            [sys.executable, "-m", "s2pipe", *command, option],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
    raise RuntimeError(done.stderr)


def schemas() -> str:
    """Return a table of the keys of every JSON Schema."""
    parts = [
        "# Schemas\n\nJSON Schemas (draft 2020-12) of all documents that s2pipe reads and writes. ",
        "`s2pipe validate FILE...` checks documents against them. The tables show ",
        "keys to a depth of three; the files say everything.\n",
    ]
    for path in sorted((ROOT / "schemas").glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        parts.append(f"\n## `{path.name}`\n\n{schema.get('description') or schema.get('title', '')}\n\n")
        parts.append(f"[{path.name}](schemas/{path.name})\n\n| key | type | meaning |\n| --- | --- | --- |\n")
        parts += [
            f"| `{key}`{'' if needed else ' (optional)'} | {kind} | {meaning} |\n"
            for key, needed, kind, meaning in _keys(schema, schema, "", 3)
        ]
    return "".join(parts)


def _keys(
    whole: dict[str, Any], schema: dict[str, Any], prefix: str, depth: int
) -> Iterator[tuple[str, bool, str, str]]:
    """Yield key, whether it is required, type and meaning, of an object and of the objects in it."""
    schema = _resolved(whole, schema)
    for name, raw in schema.get("properties", {}).items():
        inner = _resolved(whole, raw)
        text = str(raw.get("description") or inner.get("description") or "")
        yield f"{prefix}{name}", name in schema.get("required", ()), _type(inner), _cell(text)
        items = _resolved(whole, inner.get("items", {}))
        if depth > 1:
            yield from _keys(whole, inner, f"{prefix}{name}.", depth - 1)
            yield from _keys(whole, items, f"{prefix}{name}[].", depth - 1)


def _resolved(whole: dict[str, Any], schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref", "")
    if not reference.startswith("#/"):
        return schema
    found: Any = whole
    for part in reference[2:].split("/"):
        found = found[part]
    return _resolved(whole, found)


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return _cell(", ".join(f"`{json.dumps(value)}`" for value in schema["enum"]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    kind = schema.get("type", "")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def examples() -> str:
    """Return the configurations, and the programs and workflows below ``docs/examples``, each with its text."""
    languages = {".py": "python", ".sh": "bash", ".yaml": "yaml", ".yml": "yaml"}
    files = [*sorted((ROOT / "configs").glob("*.yaml")), *sorted((ROOT / "docs" / "examples").rglob("*"))]
    parts = ["# Examples\n\nConfigurations, programs and workflows, as tests run them.\n"]
    for path in files:
        if path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8")
            parts.append(f"\n## `{path.relative_to(ROOT).as_posix()}`\n\n")
            parts.append(_fence(text, languages.get(path.suffix, "text")))
    return "".join(parts)


def notebook_page(notebook: dict[str, Any]) -> str:
    """Return a notebook as Markdown: its text, its code and what it printed and drew."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source + "\n\n")
        elif cell["cell_type"] == "code":
            parts.append(_fence(source, "python"))
            parts += [_output(output) for output in cell["outputs"]]
    return "".join(parts)


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _fence("".join(output["text"]))
    data = output.get("data", {})
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            encoded = "".join("".join(data[kind]).split())
            return f'<img alt="figure drawn by the code above" src="data:{kind};base64,{encoded}">\n\n'
    if "text/html" in data:
        return "<div>" + "".join(data["text/html"]) + "</div>\n\n"
    return _fence("".join(data.get("text/plain", "")))


def _fence(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```\n\n"
