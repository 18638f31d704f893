#!/usr/bin/env bash
# Guess: a handler of Events.EXCEPTION_RAISED is told of an exception as other handlers are told of
# theirs: engine.run then raises it, as it does without the handler.
#
# What happens (pytorch-ignite 0.5.5): as soon as anybody has added such a handler the engine raises
# nothing. A handler that only closes its files turns a training that died into a run that returns.
#
# Why it matters: scripts go on, save the broken model and exit with status 0. A handler must raise
# the exception that it is given, and whether other handlers come after it depends on that.
#
# Source: Engine._handle_exception in ignite/engine/engine.py.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'pytorch-ignite==0.5.5'
"$folder/env/bin/python" - <<'PYTHON'
from ignite.engine import Engine, Events


def failing(engine, batch):
    raise FloatingPointError("the loss is not finite")


def raised(engine):
    try:
        engine.run([1, 2, 3])
    except FloatingPointError:
        return True
    return False


closed = []
alone, told = Engine(failing), Engine(failing)
told.add_event_handler(Events.EXCEPTION_RAISED, lambda engine, error: closed.append(error))
without, with_one = raised(alone), raised(told)
print(f"without a handler raised: {without}; with one that closes files: {with_one}")
assert without and not with_one and closed
PYTHON
