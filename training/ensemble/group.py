"""A group of members that are trained and probed side by side, from the first step to the last."""

from __future__ import annotations

from collections.abc import Sequence

from ...probes.records.lines import header_line, record_line
from ...probes.records.record import Record
from ..config import TrainingConfig
from ..loop import require_finite
from .member import Member
from .probing import JointProbe

__all__ = ["train_group"]


def train_group(configs: Sequence[TrainingConfig]) -> list[bytes]:
    """Train and probe members of one kind.

    Args:
        configs: alike but for what the system's `Descent` leaves free.

    Returns:
        the content of a record file for each member.

    Raises:
        FloatingPointError: naming the member, if a loss is not finite.
    """
    members = [Member(config) for config in configs]
    config, descent = configs[0], members[0].running.system.descent
    assert descent is not None
    advance = descent([member.running for member in members])
    probe, every = JointProbe(members), config.probe.every
    records: list[list[Record]] = [[] for _ in members]
    for epoch in range(config.epochs + 1):
        step = epoch * config.steps_per_epoch
        if epoch:
            losses = advance(config.steps_per_epoch)
            for member, of_steps in zip(members, losses.unbind(1), strict=True):
                try:
                    require_finite(of_steps, step, epoch)
                except FloatingPointError as error:
                    raise FloatingPointError(f"seed {member.config.seed}: {error}") from None
        if epoch % every == 0:
            for own, record in zip(records, probe(step, epoch), strict=True):
                own.append(record)
    return [
        b"".join([header_line(each.to_dict()), *map(record_line, own)])
        for each, own in zip(configs, records, strict=True)
    ]
