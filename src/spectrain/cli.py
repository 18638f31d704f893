"""The command line: spectrain COMMAND ..., and the exit status of what may go wrong."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata

from .argument_words import in_words, meant
from .commands import COMMANDS
from .os_errors import os_error

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; those of the process if None.

    Returns:
        The exit status: 0, 1 if the command failed, 2 for bad input, 130 if it was interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="spectrain", usage="spectrain COMMAND ...", exit_on_error=False
    )
    parser.add_argument("--version", action="store_true", help="print it and stop")
    commands = parser.add_subparsers(dest="command", title="commands")
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.__doc__, add_help=False)
    if arguments and not arguments[0].startswith("-") and arguments[0] not in COMMANDS:
        got = f"expected one of {', '.join(COMMANDS)}, got {arguments[0]!r}"
        return _fail(f"command: {got}{meant(arguments[0], COMMANDS)}", 2)
    try:
        asked, unknown = parser.parse_known_args(arguments[:1])
        if unknown:
            raise ValueError(f"command: expected one of {', '.join(COMMANDS)}, got {unknown[0]!r}")
        if asked.version:
            print("spectrain", metadata.version("spectrain"))
            return 0
        if asked.command is None:
            parser.print_help()
            return 0
        command = asked.command
        return COMMANDS[command](arguments[1:])
    except argparse.ArgumentError as error:
        return _fail(in_words(str(error)), 2)
    except ValueError as error:
        return _fail(error, 2)
    except ArithmeticError as error:
        return _fail(error, 1)
    except BrokenPipeError:
        # Whoever reads has heard enough, also of what is still waiting to be written at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(os_error(error), 1)
    except (MemoryError, RuntimeError) as error:
        reason = _limit(error)
        if not reason:
            raise
        return _fail(f"{reason}: {error}" if error.args else reason, 1)
    except KeyboardInterrupt as interrupt:
        return _fail("; ".join(["interrupted", *map(str, interrupt.args)]), 128 + signal.SIGINT)


def _limit(error: Exception) -> str:
    """Which limit of the machine an error is about; empty for none. Torch has no types for them."""
    text = str(error)
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return "not enough memory"
    return "a number is beyond the range of its type" if "without overflow" in text else ""


def _fail(error: Exception | str, status: int) -> int:
    print("spectrain: error:", " ".join(str(error).split()), file=sys.stderr)
    return status
