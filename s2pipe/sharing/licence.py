"""The licence of a dataset in words, with the lines that users have to quote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from s2pipe.errors import UsageError
from s2pipe.sharing.attribution import source_terms

if TYPE_CHECKING:
    from s2pipe.sharing.contents import Contents

OTHER = "other"
"""Stands for the terms of the sources, where a dataset has no licence of its own."""
_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,63}", re.ASCII)


def check_license(license_id: str) -> None:
    """Refuse what is no identifier of a licence.

    Raises
    ------
    UsageError
        It is none.
    """
    if not _LICENSE.fullmatch(license_id):
        msg = f"--license: expected an SPDX identifier such as CC-BY-4.0, or {OTHER}, got {license_id!r}"
        raise UsageError(msg)


def license_urls(contents: Contents, license_id: str) -> list[str]:
    """Return where the terms of a dataset are to be read."""
    own = [] if license_id.lower() == OTHER else [f"https://spdx.org/licenses/{license_id}"]
    return [*own, *(terms.url for terms in source_terms(contents.label_sources))]


def licence_text(contents: Contents, name: str, license_id: str) -> str:
    """Return the text of ``LICENSE``."""
    lines = [f"Terms of {name}", ""]
    if license_id.lower() == OTHER:
        lines += ["The terms of its sources apply; its makers add no conditions of their own.", ""]
    else:
        lines += [
            f"Its makers release it under {license_id} (https://spdx.org/licenses/{license_id}).",
            "The terms of its sources apply besides.",
            "",
        ]
    lines += ["Sources", ""]
    for terms in source_terms(contents.label_sources):
        lines.append(f"- {terms.source}: {terms.terms}, {terms.url}")
    others = [source for source in contents.label_sources if not _is_known(source)]
    if others:
        lines.append(f"- Labels from: {', '.join(others)}")
    lines += ["", "Attribution. Whoever passes the dataset on, or publishes results, states:", ""]
    lines += [f"    {line}" for line in contents.attribution]
    return "\n".join([*lines, ""])


def _is_known(source: str) -> bool:
    """Tell whether a source of labels is one whose terms are listed, or the satellite's own products."""
    return len(source_terms([source])) > 1 or "L2A" in source or source in ("scl", "cloud_probability")
