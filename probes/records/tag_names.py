"""What a name becomes in the tags of event files."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["safe"]


# Every record has the same names.
@lru_cache(maxsize=8192)
def safe(name: str) -> str:
    """A name without blanks and other characters that tags do not take."""
    return re.sub(r"[^-\w./]+", "_", name)
