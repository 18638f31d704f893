"""BibTeX of the software and of the papers that records rest on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import metadata
from string import ascii_lowercase

from ...theory.source import Source

__all__ = ["AUTHORS", "TITLE", "bibtex"]

# As in CITATION.cff, which is not installed.
AUTHORS = "The spectrain authors"
TITLE = "spectrain: spectra of Hessian and information matrix along training, beside their theory"

# What BibTeX would take for a command, or for the end of a field.
_SPECIAL = re.compile(r"([&%$#_])")
_NEW = re.compile(r"^(\d\d)\d\d\.")
_OLD = re.compile(r"/(\d\d)\d{5}")


def bibtex(papers: Iterable[Source]) -> str:
    """An entry for this software, in the version that is installed, and one for each paper."""
    entries = [
        _entry(
            "software",
            "spectrain",
            {
                "author": f"{{{AUTHORS}}}",
                "title": _title(TITLE),
                "version": metadata.version("spectrain"),
            },
        )
    ]
    keys: set[str] = {"spectrain"}
    for paper in papers:
        key = _key(paper, keys)
        keys.add(key)
        year = _year(paper.arxiv)
        entries.append(
            _entry(
                "misc",
                key,
                {
                    "author": _escaped(" and ".join(paper.authors.split(", "))),
                    "title": _title(paper.title),
                    "eprint": paper.arxiv,
                    "archivePrefix": "arXiv",
                    **({"year": year} if year else {}),
                    "note": _escaped(f"used for: {paper.used_for}"),
                },
            )
        )
    return "\n".join(entries)


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = [f"@{kind}{{{key},", *(f"  {name} = {{{text}}}," for name, text in fields.items()), "}"]
    return "\n".join(lines) + "\n"


def _title(text: str) -> str:
    """In braces of its own, so that capital letters stay."""
    return f"{{{_escaped(text)}}}"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def _year(arxiv: str) -> str:
    """2502.15655 is of 2025, math/0403022 of 2004, cond-mat/9901001 of 1999."""
    found = _NEW.match(arxiv) or _OLD.search(arxiv)
    if found is None:
        return ""
    short = int(found[1])
    return str(1900 + short if short > 90 else 2000 + short)


def _key(paper: Source, taken: set[str]) -> str:
    """The first author's last name and the year, and a letter where that is taken."""
    first = paper.authors.partition(",")[0].split()[-1].lower()
    key = re.sub(r"[^a-z]", "", first) + _year(paper.arxiv)
    letters: list[str] = ["", *ascii_lowercase[1:]]
    return next(key + letter for letter in letters if key + letter not in taken)
