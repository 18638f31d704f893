"""The hosts under whose names the tab's routes answer: a page elsewhere can then not read them.

A web page may point a name of its own at this machine, and so pass for a page of this server; the
name it asks for gives it away.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from functools import cache

__all__ = ["HOSTS", "is_known"]

# Names, separated by commas: of a proxy through which the board is looked at.
HOSTS = "SPECTRAIN_HOSTS"

_LOCAL = {"localhost", "127.0.0.1", "::1"}
_ANY = {"0.0.0.0", "::", ""}


def is_known(host: str, bound: str | None, bind_all: bool = False) -> bool:
    """Whether a request may ask for this host.

    Args:
        host: of the request, with or without a port.
        bound: the host that the server listens on; None for localhost.
        bind_all: whether it listens on all addresses: those, and the machine's own names, are known
            then. An address cannot be pointed elsewhere.
    """
    name = _name(host)
    named = {_name(each) for each in os.environ.get(HOSTS, "").split(",") if each.strip()}
    if name in _LOCAL | named or name.endswith(".localhost"):
        return True
    bound = _name(bound or "localhost")
    if bind_all or bound in _ANY:
        return _is_address(name) or name in _own_names()
    return name == bound


def _name(host: str) -> str:
    """Without port, brackets and a dot at the end, in small letters."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return (host if host.count(":") > 1 else host.partition(":")[0]).removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@cache
def _own_names() -> frozenset[str]:
    return frozenset(name.lower() for name in (socket.gethostname(), socket.getfqdn()))
