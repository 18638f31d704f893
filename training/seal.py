"""A seal on an archive of torch.save: a checksum of all its bytes, where its comment goes.

The archive stays one that torch.load and unzip read: a ZIP file may end with a comment.
"""

from __future__ import annotations

import hashlib
import io
import zipfile

__all__ = ["seal", "sealed"]

_MARK = b"spectrain sha256 "
_LENGTH = len(_MARK) + 2 * hashlib.sha256().digest_size
# Of the ZIP format: how archives begin and what their end begins with, which has the size of the
# comment so many bytes on.
_BEGINNING, _END, _TO_SIZE = b"PK", b"PK\x05\x06", 20
_SIZE = _LENGTH.to_bytes(2, "little")


def seal(archive: bytes) -> bytes:
    """The archive with the seal as its comment, of which it has none.

    Args:
        archive: as torch.save writes it.
    """
    content = archive[: -len(_SIZE)]
    return content + _SIZE + _mark(content)


def sealed(data: bytes) -> bool:
    """Whether every byte is as it was sealed; False where some are changed or missing.

    Raises:
        ValueError: if it never was, saying what was expected and what it is.
    """
    content, mark = data[: -_LENGTH - len(_SIZE)], data[-_LENGTH:]
    if mark.startswith(_MARK):
        return data == content + _SIZE + _mark(content)
    end = data.rfind(_END)
    with_seal = end >= 0 and data[end + _TO_SIZE :].startswith(_SIZE)
    begins = _BEGINNING.startswith(data[: len(_BEGINNING)])
    if with_seal or (begins and not zipfile.is_zipfile(io.BytesIO(data))):
        return False
    got = "one of an older version, or of another program" if begins else "another file"
    raise ValueError(f"expected a checkpoint with a checksum, got {got}")


def _mark(content: bytes) -> bytes:
    return _MARK + hashlib.sha256(content).hexdigest().encode("ascii")
