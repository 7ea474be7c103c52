"""Which entries of a Step-2 index a run is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.dataset.step2_index import SampleTable
from s2pipe.errors import MissingInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from s2pipe.dataset.scene_choice import SceneChoice


def chosen_entries(
    path: Path, entries: Sequence[Mapping[str, Any]], only: SceneChoice | None, limit: int | None = None
) -> Iterator[Mapping[str, Any]]:
    """Return the entries that are wanted, in their order.

    Parameters
    ----------
    path : Path
        The index, for messages.
    entries : sequence of mapping
        Its entries.
    only : SceneChoice or None
        Tiles, days and scenes; None takes all.
    limit : int, optional
        Take only the first of these.

    Raises
    ------
    ConfigError
        A scene that is named is not in the index.
    MissingInputError
        No entry is left.
    """
    places = list(range(len(entries)))
    if only is not None:
        if isinstance(entries, SampleTable):
            keys = entries.keys
        else:
            keys = [SceneKey.from_document(entry["key"]) for entry in entries]
        places = only.matching(places, keys.__getitem__, str(path), "patches.only.scenes")
    if not places:
        msg = f"{path}: tiles, dates and scenes of patches.only leave none of its samples"
        raise MissingInputError(msg, [], "Change them.")
    return (entries[place] for place in places[:limit])
