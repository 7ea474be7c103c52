"""Conditions on the columns of the patch database, as users write them for ``--from-db``.

A condition is an expression of SQL, and nothing else of SQL: its words are columns, the operators and types below, and
functions that compute one value from others. Queries, table functions, settings, comments and further statements have
words or signs that are none of these, in whatever version of DuckDB; so they are refused before DuckDB sees them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from s2pipe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS = _words(
    "abs ceil floor round sign sqrt ln log10 exp pow mod greatest least coalesce ifnull nullif isnan isfinite isinf "
    "lower upper length trim left right substring substr replace concat contains starts_with ends_with prefix suffix "
    "strpos split_part regexp_matches regexp_full_match regexp_extract md5 "
    "year month day dayofyear week quarter hour minute date_part date_trunc strptime strftime list_contains"
)
"""Functions that conditions may call: each depends on its arguments alone, and gives the same with every DuckDB."""
_OPERATORS = _words(
    "and or not in is null like ilike between escape similar to distinct from case when then else end true false "
    "cast try_cast as"
)
_TYPES = _words(
    "boolean bool tinyint smallint integer int bigint hugeint utinyint usmallint uinteger ubigint float real double "
    "decimal numeric varchar text string date time timestamp interval"
)
_WORDS = _OPERATORS | _TYPES
_MAX_CHARACTERS, _MAX_DEPTH = 1_000_000, 100
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    | (?P<comment>--|/\*|\*/)
    | (?P<string>'(?:[^']|'')*')
    | (?P<quoted>"(?:[^"]|"")+")
    | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?!\w))
    | (?P<word>[^\W\d]\w*)
    | (?P<sign>::|<=|>=|<>|!=|==|\|\||\*\*|//|!?~~?|[=<>+\-*/%^(),.\[\]])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def word(self) -> str:
        """A bare word in lower case; empty for anything else."""
        return self.text.lower() if self.kind == "word" else ""


_NOTHING = _Token("", "", 0)


def checked_condition(condition: str, columns: Iterable[str], fields: Iterable[str] = ()) -> str:
    """Check that a text is a condition on columns, and quote those: some have names that SQL knows as words.

    Parameters
    ----------
    condition : str
        The text.
    columns : iterable of str
        Names of the columns. Case does not count, as in SQL.
    fields : iterable of str
        Names that may follow a dot: the parts of columns that have some.

    Returns
    -------
    str
        The condition as DuckDB takes it.

    Raises
    ------
    UsageError
        It is none; the message says what is wrong where, and which columns there are.
    """
    names = tuple(columns)
    tokens, fault = _tokens(condition)
    known = (frozenset(map(str.lower, names)), frozenset(map(str.lower, fields)))
    fault = fault or _bracket_fault(tokens) or _name_fault(tokens, known)
    if fault is not None:
        raise condition_error(condition, fault, names)
    return " ".join(f'"{token.text}"' if token.word in known[0] - _WORDS else token.text for token in tokens)


def condition_error(condition: str, fault: str, columns: Iterable[str]) -> UsageError:
    """Make the error of a condition that cannot be used."""
    shown = condition if len(condition) <= 200 else f"{condition[:197]}..."
    return UsageError(
        f"--from-db {shown!r}: {fault}\nexpected a condition, as a WHERE clause has it, on the columns: "
        f"{', '.join(columns)}"
    )


def _tokens(condition: str) -> tuple[list[_Token], str | None]:
    """Divide a condition into tokens, as far as it consists of them, and say where it does not."""
    tokens: list[_Token] = []
    if len(condition) > _MAX_CHARACTERS:
        return tokens, f"has {len(condition)} characters; at most {_MAX_CHARACTERS} are read"
    if (strange := _NO_TEXT.search(condition)) is not None:
        return tokens, f"{strange[0]!r} at character {strange.start() + 1} is not text"
    place = 0
    while place < len(condition):
        match = _TOKEN.match(condition, place)
        kind = "" if match is None else match.lastgroup or ""
        if match is None or kind == "comment":
            what = "a comment" if match else repr(condition[place])
            return tokens, f"{what} at character {place + 1} has no meaning in a condition"
        if kind != "blank":
            tokens.append(_Token(kind, match[0], place))
        place = match.end()
    return tokens, None


def _bracket_fault(tokens: list[_Token]) -> str | None:
    """Brackets that do not match would let a condition end the one that is put around it."""
    closing: list[str] = []
    for token in tokens:
        if token.kind == "sign" and token.text in "([":
            closing.append(")" if token.text == "(" else "]")
            if len(closing) > _MAX_DEPTH:
                return f"has more than {_MAX_DEPTH} brackets in one another"
        elif token.kind == "sign" and token.text in ")]" and (not closing or closing.pop() != token.text):
            return f"{token.text!r} at character {token.start + 1} closes nothing"
    return f"{closing[-1]!r} is missing at the end" if closing else None


def _name_fault(tokens: list[_Token], known: tuple[frozenset[str], frozenset[str]]) -> str | None:
    for place, token in enumerate(tokens):
        if token.kind not in ("word", "quoted"):
            continue
        before = tokens[place - 1] if place else _NOTHING
        after = tokens[place + 1] if place + 1 < len(tokens) else _NOTHING
        name = token.word or token.text[1:-1].replace('""', '"').lower()
        if not _is_known(name, token.kind, (before, after), known):
            what = "function" if after.text == "(" else "column"
            return f"{token.text!r} at character {token.start + 1} is no {what} of a condition"
    return None


def _is_known(
    name: str, kind: str, around: tuple[_Token, _Token], known: tuple[frozenset[str], frozenset[str]]
) -> bool:
    """Whether a name means a column, or a word of conditions in the place that it has there."""
    (before, after), (columns, fields) = around, known
    if before.text == ".":
        return name in fields and after.text != "("
    if kind == "word" and name in _WORDS:
        # FROM begins a query, and DISTINCT belongs to one, everywhere else.
        wanted = {"from": ("distinct",), "distinct": ("is", "not")}.get(name)
        return wanted is None or before.word in wanted
    if after.text == "(":
        return kind == "word" and name in FUNCTIONS
    return name in columns
