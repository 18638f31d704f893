"""A specification as a file: keys and values in JSON or TOML."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from .values import refusal

__all__ = ["read_table"]


def read_table(path: str) -> dict[str, object]:
    """Read keys and values from a file.

    Args:
        path: of a JSON file if its suffix is .json, of a TOML file if it is .toml, of either if it
            is another; "-" is the standard input.

    Raises:
        ValueError: if there is no such file, or it holds no table of that format.
    """
    formats = {".json": "JSON", ".toml": "TOML"}
    wanted = formats.get(Path(path).suffix.lower())
    name = f"a {wanted or 'JSON or TOML'} file"
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise refusal("SPEC", f"{name} ({reason})", path) from error
    reasons = []
    for format_name in [wanted] if wanted else formats.values():
        try:
            content = _PARSERS[format_name](text)
        except (ValueError, RecursionError) as error:
            reasons.append(f"not {format_name}: {error}")
            continue
        if not isinstance(content, dict):
            raise refusal("SPEC", "keys and values", content)
        return content
    raise refusal("SPEC", f"{name} ({'; '.join(reasons)})", path)


def _parse_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"{key} is given twice")
        content[key] = value
    return content


_PARSERS: dict[str, Callable[[str], object]] = {"JSON": _parse_json, "TOML": tomllib.loads}
