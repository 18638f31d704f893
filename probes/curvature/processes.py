"""The processes that measure together: sums, agreement, and an end to waiting for one another."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, distributed

__all__ = ["Processes", "ProcessesLostError"]

T = TypeVar("T")

# Characters of a value that differs which a message shows.
_SHOWN = 120

# The group by whose own messages the processes of another meet; collective to make.
_MEETING: WeakKeyDictionary[distributed.ProcessGroup, distributed.ProcessGroup] = (
    WeakKeyDictionary()
)


class ProcessesLostError(RuntimeError):
    """A process has ended, or did not take part: nothing can be measured together any more."""


class Processes:
    """The processes of a group, or this one alone; every method is called by all of them.

    What differs between them (samples, and what is computed from them) goes through `agreed`, the
    rest is the same computation on each, with the same outcome: `alike` sees to it that it is.

    Args:
        group: None for this process alone.
        device: of what is communicated.

    Raises:
        ProcessesLostError: by every method, once a process did not answer within the group's
            timeout; `reachable` is then False.
    """

    def __init__(self, group: distributed.ProcessGroup | None, device: torch.device) -> None:
        self._group, self.device = group, device
        self.size = 1 if group is None else distributed.get_world_size(group)
        self.rank = 0 if group is None else distributed.get_rank(group)
        self._lost = ""

    @property
    def alone(self) -> bool:
        """Whether nothing has to be communicated."""
        return self._group is None

    @property
    def reachable(self) -> bool:
        """Whether all processes have answered so far."""
        return not self._lost

    def sum(self, values: Tensor) -> Tensor:
        """Sum of the values of all processes, in place if they are contiguous; same shape."""
        if self._group is None:
            return values
        values = values.contiguous()
        self._exchanged(lambda: distributed.all_reduce(values, group=self._group))
        return values

    def gather(self, numbers: list[float]) -> Tensor:
        """The numbers of every process, (processes, count) float64 on the CPU."""
        own = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        rows = own.new_zeros(self.size, len(numbers))
        rows[self.rank] = own
        return self.sum(rows).cpu()

    def mean(self, values: dict[str, Tensor], weight: float) -> dict[str, Tensor]:
        """sum_r n_r values_r / sum_r n_r of each tensor, n_r what process r counts by."""
        if self.alone:
            return values
        share = weight / float(self.gather([weight]).sum())
        return {name: self.sum(value * share) for name, value in values.items()}

    def told(self, value: T, by: int) -> T:
        """The value of process number ``by``: what can be pickled, with tensors on the CPU."""
        if self._group is None:
            return value
        said: list[bytes] = [b""]
        with self.agreed():
            if self.rank == by:
                said = [pickle.dumps(value)]
        self._exchanged(
            lambda: distributed.broadcast_object_list(said, group=self._group, group_src=by)
        )
        found: T = value if self.rank == by else pickle.loads(said[0])
        return found

    def collected(self, value: T, by: int) -> list[T]:
        """The values of all on process number ``by``, in their order; on others nothing.

        Args:
            value: what can be pickled, with tensors on the CPU.
            by: who gets them.
        """
        if self._group is None:
            return [value]
        said = b""
        with self.agreed():
            said = pickle.dumps(value)
        heard: list[Any] | None = [None] * self.size if self.rank == by else None
        self._exchanged(
            lambda: distributed.gather_object(said, heard, group=self._group, group_dst=by)
        )
        return [pickle.loads(each) for each in heard or []]

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """What one process fails with inside, all fail with at the end: none waits for another.

        Nothing inside may communicate.

        Raises:
            RuntimeError: where only other processes failed, with their reasons.
        """
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        if self.alone:
            if failure is not None:
                raise failure
            return
        failed = torch.tensor([float(failure is not None)], device=self.device)
        self.settle(float(self.sum(failed)), failure)

    def settle(self, failed: float, failure: Exception | None) -> None:
        """Raise on every process if ``failed``, the number of failures of all, is not 0."""
        if not failed:
            return
        reason = None if failure is None else f"{type(failure).__name__}: {failure}"
        reasons: list[Any] = [None] * self.size
        self._exchanged(lambda: distributed.all_gather_object(reasons, reason, group=self._group))
        if failure is not None:
            raise failure
        told = "; ".join(f"process {r}: {text}" for r, text in enumerate(reasons) if text)
        raise RuntimeError(f"failed on {told}")

    def alike(self, call: str, told: Mapping[str, str]) -> None:
        """Wait for all processes, and refuse on each of them what they do not have in common.

        Their messages have a group of their own (gloo), so that a process that is elsewhere
        cannot take them for those of the training. They wait for half the timeout of the
        processes' group: it is then not over yet on one that trains on meanwhile.

        Args:
            call: what is begun, for the messages.
            told: what must be the same, as text, by the name it has in a message.

        Raises:
            ValueError: the same on all processes: what differs, and on which of them.
            ProcessesLostError: if not all of them came.
        """
        if self._group is None:
            return
        content = json.dumps([call, *sorted(told.items())])
        own = int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "little", signed=True)
        rows = torch.zeros(self.size, dtype=torch.int64)
        rows[self.rank] = own
        self._exchanged(lambda: self._meet(rows), call)
        if bool((rows == rows[0]).all()):
            return
        every: list[Any] = [None] * self.size
        mine = {"call": call, **told}
        self._exchanged(
            lambda: distributed.all_gather_object(every, mine, group=self._meeting()), call
        )
        raise ValueError(_difference(every))

    def _meet(self, rows: Tensor) -> None:
        """All processes' rows, once all of them are here; names those that are not."""
        meeting = self._meeting()
        distributed.monitored_barrier(meeting, timeout=self._patience(), wait_all_ranks=True)
        distributed.all_reduce(rows, group=meeting)

    def _meeting(self) -> distributed.ProcessGroup:
        assert self._group is not None
        if self._group not in _MEETING:
            _MEETING[self._group] = distributed.new_group(
                distributed.get_process_group_ranks(self._group),
                timeout=self._patience(),
                backend="gloo",
                use_local_synchronization=True,
            )
        return _MEETING[self._group]

    def _patience(self) -> timedelta:
        """Half the timeout of the group."""
        assert self._group is not None
        options = getattr(self._group._get_backend(self.device), "options", None)
        timeout: timedelta = getattr(options, "_timeout", distributed.default_pg_timeout)
        return timeout / 2

    def _exchanged(self, exchange: Callable[[], object], call: str = "a product or a sum") -> None:
        """Communicate, unless a process is known to be lost; see it if one is."""
        if self._lost:
            raise ProcessesLostError(self._lost)
        try:
            exchange()
        except RuntimeError as error:  # of a broken connection, or none in time
            reason = re.sub(r"^\[[^]]*\]:? *", "", str(error)).split(". ")[0].splitlines()[0]
            self._lost = (
                f"processes: expected all {self.size} at {call} in time, got {reason!r}: one has "
                "ended, or did not call the probe"
            )
            if self._group is not None:
                _MEETING.pop(self._group, None)
            raise ProcessesLostError(self._lost) from error


def _difference(every: list[dict[str, str]]) -> str:
    """What processes have of their own, and which."""
    names = [
        name
        for name in dict.fromkeys(name for each in every for name in each)
        if len({each.get(name) for each in every}) > 1
    ]
    name = names[0]
    holders: dict[str, list[int]] = {}
    for process, each in enumerate(every):
        holders.setdefault(each.get(name, "nothing"), []).append(process)
    values = ", ".join(
        f"{value if len(value) <= _SHOWN else value[:_SHOWN] + '...'} on "
        f"{'process' if len(some) == 1 else 'processes'} {' and '.join(map(str, some))}"
        for value, some in holders.items()
    )
    others = f"; also {', '.join(names[1:4])}" if len(names) > 1 else ""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{name}: expected the same on all processes, got {values}{others}{more}"
