"""Mutations that know what they change: values of JSON, elements of XML, words of text, columns of tables, bytes.

An edit is three numbers, so that hypothesis can shrink it and a random generator can draw it.
"""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Edit = tuple[int, float, int]
"""What to do (any integer), where (0 to 1), and with which of the hostile values (any integer)."""

NUMBERS = (
    "1e300",
    "-1",
    "0",
    "nan",
    "inf",
    "1e999",
    "9" * 400,
    "0x10",
    "1_0",
    "-0.0",
    "65536",
    "1.5",
    "2147483648",
    "\u0663",
)
TEXTS = (
    "",
    " ",
    "../../x",
    "/etc/passwd",
    "a\\b",
    "\u2028",
    "\u00e4" * 300,
    "T99ZZZ",
    "nul",
    "&lol;",
    "<!DOCTYPE a>",
    "'",
    '"',
    "\\",
)
HOSTILE: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        10**40,
        1e300,
        -1e300,
        1e-300,
        0.5,
        float("nan"),
        float("inf"),
    ),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": [1]}}, "\ud800", "\udc80x", "a\0b", "\x7f"),
    *(
        *NUMBERS,
        *TEXTS,
        [1, 2, 3],
        ["a", 1],
        "2025-13-40T25:61:61Z",
        "0000-00-00T00:00:00Z",
        "POLYGON((0 0,1 1))",
    ),
)


def mutate(kind: str, seed: bytes, edits: Sequence[Edit]) -> bytes:
    """Apply edits to a seed of a kind (``json``, ``xml``, ``text``, ``parquet``, ``bytes``)."""
    apply = _KINDS.get(kind, _edit_bytes)
    for edit in edits:
        # One edit in eight is of bytes, whatever the kind.
        seed = (_edit_bytes if edit[0] % 8 == 7 else apply)(seed, edit)
    return seed


def _pick(items: Sequence[Any], number: int) -> Any:
    return items[number % len(items)]


def _place(items: Sequence[Any], where: float) -> int:
    return min(int(where * len(items)), len(items) - 1)


def _edit_bytes(data: bytes, edit: Edit) -> bytes:
    action, where, value = edit
    if not data:
        return bytes([value % 256])
    place = _place(data, where)
    end = min(len(data), place + 1 + value % 64)
    changes: tuple[bytes, ...] = (
        data[:place] + bytes([data[place] ^ (1 << value % 8)]) + data[place + 1 :],
        data[:place] + bytes([value % 256]) + data[place + 1 :],
        data[:place],
        data[:place] + data[end:],
        data[:end] + data[place:],
        data[:place] + bytes([value % 256]) * (value % 9) + data[place:],
    )
    return changes[(action // 8) % len(changes)]


def _edit_json(data: bytes, edit: Edit) -> bytes:
    action, where, value = edit
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return _edit_bytes(data, edit)
    slots = list(_slots(document))
    if not slots:
        return json.dumps(_pick(HOSTILE, value)).encode()
    holder, key = slots[_place(slots, where)]
    step = action % 6
    if step == 0:
        del holder[key]
    elif step == 1 and isinstance(holder, list):
        holder.extend([holder[key]] * (1 + value % 3))
    elif step == 2 and isinstance(holder, dict):
        holder[str(_pick(TEXTS, value))] = holder.pop(key)
    elif step == 3:
        other_holder, other_key = slots[value % len(slots)]
        holder[key] = (
            json.loads(json.dumps(other_holder[other_key])) if _is_in(other_holder, other_key) else None
        )
    else:
        holder[key] = _pick(HOSTILE, value)
    return json.dumps(document).encode()


def _is_in(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else key < len(holder)


def _slots(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a document that holds a value."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        item = pending.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
        for key in keys:
            found.append((item, key))
            pending.append(item[key])
    return found


def _edit_tokens(pattern: re.Pattern[str], words: Sequence[str]) -> Callable[[bytes, Edit], bytes]:
    def apply(data: bytes, edit: Edit) -> bytes:
        action, where, value = edit
        tokens = pattern.findall(data.decode("utf-8", "replace"))
        if not tokens:
            return _edit_bytes(data, edit)
        place = _place(tokens, where)
        step = action % 6
        if step == 0:
            del tokens[place]
        elif step == 1:
            tokens.insert(place, tokens[value % len(tokens)])
        elif step == 2:
            other = value % len(tokens)
            tokens[place], tokens[other] = tokens[other], tokens[place]
        else:
            tokens[place] = str(_pick(words, value))
        return "".join(tokens).encode("utf-8", "surrogatepass")

    return apply


def _edit_parquet(data: bytes, edit: Edit) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    action, where, value = edit
    try:
        table = parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError):
        return _edit_bytes(data, edit)
    if not table.num_columns:
        return data
    place = _place(table.column_names, where)
    name, rows = table.column_names[place], table.num_rows
    columns: tuple[Callable[[], Any], ...] = (
        lambda: pa.nulls(rows, table.schema.field(place).type),
        lambda: pa.array([str(_pick((*NUMBERS, *TEXTS), value))] * rows),
        lambda: pa.array([_pick((0, -1, 2**31, 2**62), value)] * rows, pa.int64()),
        lambda: pa.array([_pick((1e300, float("nan"), -0.5), value)] * rows, pa.float64()),
        lambda: pa.array([[1]] * rows),
    )
    if action % 6 == 5:
        table = table.drop_columns([name])
    else:
        table = table.set_column(place, name, columns[action % 6]())
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    return sink.getvalue()


_KINDS: dict[str, Callable[[bytes, Edit], bytes]] = {
    "json": _edit_json,
    "xml": _edit_tokens(re.compile(r"<[^>]*>|[^<\s]+|\s+"), ("<a>", "</a>", "<a/>", "&a;", *NUMBERS, *TEXTS)),
    "text": _edit_tokens(
        re.compile(r"\w+|\W", re.DOTALL),
        (
            "&a ",
            "*a ",
            "<<: ",
            "!!int ",
            "!!set ",
            "- ",
            ": ",
            "\n",
            "[",
            "{",
            "\ufeff",
            "((",
            "EMPTY",
            *NUMBERS,
            *TEXTS,
        ),
    ),
    "parquet": _edit_parquet,
}
