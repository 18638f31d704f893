#!/usr/bin/env bash
# Guess: Dataset.map runs the function again when its code has changed; that is what the fingerprint
# of its cache is for, which changes with a lambda, a closure or a function of the script.
#
# What happens (datasets 5.2.0): of a function that is imported from a module of one's own the
# fingerprint holds the name only. After an edit of the module, in a new process, map returns the
# rows of the old code, and so it does where a constant of the module was changed. A function in the
# script itself is run again.
#
# Why it matters: preprocessing is put into a module as soon as a project grows. A mended tokeniser,
# another normalisation or label map trains on the old data, for as long as the cache lives, with no
# line about it but a missing progress bar. load_from_cache_file=False runs it.
#
# Source: https://github.com/huggingface/datasets/issues/3297.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet 'datasets==5.2.0' 'numpy==2.4.6' 'pyarrow==25.0.1'
export HF_HOME="$folder/cache" HF_HUB_OFFLINE=1 PYTHONDONTWRITEBYTECODE=1
cd "$folder"
"$folder/env/bin/python" - <<'PYTHON'
import datasets

datasets.disable_progress_bars()
datasets.Dataset.from_dict({"x": [1.0, 2.0]}).save_to_disk("rows")
print("datasets", datasets.__version__)
PYTHON
# the script and its module, whose factor is edited between two runs
edit() {
    cat >module.py <<PYTHON
FACTOR = $1


def by_constant(row):
    return {"y": FACTOR * row["x"]}


def by_code(row):
    return {"y": $1 * row["x"]}
PYTHON
    cat >script.py <<PYTHON
import datasets
import module

datasets.disable_progress_bars()
rows = datasets.load_from_disk("rows")


def own(row):
    return {"y": $1 * row["x"]}


def first(function, **options):
    return rows.map(function, **options)["y"][0]


print(
    f"own {first(own)}, imported {first(module.by_code)}, "
    f"by a constant {first(module.by_constant)}, "
    f"without cache {first(module.by_code, load_from_cache_file=False)}"
)
PYTHON
}
edit 2.0
before=$("$folder/env/bin/python" script.py)
edit 5.0
after=$("$folder/env/bin/python" script.py)
echo "factor 2: $before"
echo "factor 5: $after"
test "$before" = "own 2.0, imported 2.0, by a constant 2.0, without cache 2.0"
test "$after" = "own 5.0, imported 2.0, by a constant 2.0, without cache 5.0" ||
    { echo "this has changed" >&2; exit 1; }
