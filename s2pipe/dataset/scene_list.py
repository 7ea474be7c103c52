"""Lists of scenes as configurations and files name them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from s2pipe.dataset.scene_key import SceneKey
from s2pipe.errors import ConfigError, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def read_scene_list(scenes: Sequence[str] | Path, where: str = "preprocess.normalize.scenes") -> list[str]:
    """Return scene keys given as a list, or as a text file with one a line (``#`` starts a comment).

    Parameters
    ----------
    scenes : sequence of str, or Path
        The list, or the file.
    where : str
        Path of the configuration's key, for the message.

    Raises
    ------
    ConfigError
        The file cannot be read, or is no UTF-8 text.
    """
    if not isinstance(scenes, Path):
        return list(scenes)
    try:
        lines = scenes.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            str(scenes), [Fault(where, f"the list of scenes cannot be read: {error}")]
        ) from error
    return [text for line in lines if (text := line.split("#", 1)[0].strip())]


def match_scenes(
    texts: Iterable[str], keys: Iterable[SceneKey]
) -> tuple[frozenset[tuple[str, str]], list[str]]:
    """Match keys as text with scenes; spelling and fractions of a second do not count.

    Returns
    -------
    (frozenset, list of str)
        Identities of the scenes that are named, and the texts that name none.
    """
    known = {key.identity for key in keys}
    by_text = {text: SceneKey.parse_identity(text) for text in texts}
    found = frozenset(identity for identity in by_text.values() if identity is not None) & known
    return found, [text for text, identity in by_text.items() if identity not in found]
