"""Errors always say something."""

from __future__ import annotations

import pytest

# Modules with subclasses of their own, so that the walk below meets them.
import s2pipe.preprocess.pixels.cache
import s2pipe.preprocess.plan  # noqa: F401
from s2pipe.errors import DocumentError, Fault, ManifestError, MissingInputError, S2PipeError


def _all_kinds(kind: type[S2PipeError]) -> list[type[S2PipeError]]:
    return [kind, *(one for below in kind.__subclasses__() for one in _all_kinds(below))]


KINDS = _all_kinds(S2PipeError)


def _build(kind: type[S2PipeError], text: str) -> S2PipeError:
    """Build an error of any kind whose only text is the one given."""
    if issubclass(kind, DocumentError):
        return kind("index.json", [Fault("a.b", text)])
    if issubclass(kind, MissingInputError):
        return kind(text, ["l1c.band.B04"], "Run it again.")
    return kind(text)


def test_the_walk_meets_the_subclasses() -> None:
    assert len(KINDS) > 15
    assert {"ManifestError", "UntrustedServerError", "CacheDamagedError"} <= {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_is_built_without_a_message(kind: type[S2PipeError]) -> None:
    for text in ("", " \n"):
        with pytest.raises(ValueError, match=kind.__name__):
            _build(kind, text)
    with pytest.raises(TypeError):
        kind()  # type: ignore[call-arg]
    assert "what is wrong" in str(_build(kind, "what is wrong"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, DocumentError)])
def test_a_document_error_needs_a_fault(kind: type[DocumentError]) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__} for .index.json."):
        kind("index.json", [])


def test_every_fault_of_a_document_is_a_line() -> None:
    error = ManifestError("index.json", [Fault("a.b", "is missing"), Fault("", "is no object")])
    assert str(error).splitlines() == ["index.json: a.b: is missing", "index.json: is no object"]


def test_missing_inputs_need_a_next_step() -> None:
    with pytest.raises(ValueError, match="hint"):
        MissingInputError("no scene:", [], "")
    assert str(MissingInputError("no scene:", ["T33UWQ"], "Run it.")) == "no scene:\n  T33UWQ\nRun it."
