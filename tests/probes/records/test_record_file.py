import getpass
import json
import math
import os
import platform
import subprocess
import sys
import time
import warnings
from contextlib import nullcontext
from dataclasses import fields, replace

import numpy as np
import pytest

from spectrain.probes.records.codec import decode, encode, schema
from spectrain.probes.records.environment import environment
from spectrain.probes.records.record import Failure, Geometry, Record, Transition
from spectrain.probes.records.record_file import RecordFile, load, parse_record, read_records
from spectrain.probes.records.version1 import direction
from spectrain.theory.matrix_kind import HESSIAN
from spectrain.theory.quantity import Quantity
from spectrain.theory.source import Source
from spectrain.theory.spectrum import Bulk, Density, Edge, Eigenpair, Jacobi, Spectrum


def full_record(step=7):
    generator = np.random.default_rng(step)
    pair = Eigenpair(
        value=-0.1,
        error=1e-300,
        overlap=math.nan,
        alignment=generator.standard_normal(5),
        sampling_error=math.inf,
        draws=np.array([np.nan, -np.inf, -0.0, 5e-324]),
    )
    edge = Edge(value=math.inf, kind="thin", finite_size=1 / 3, detection=-math.inf, error=0.0)
    density = Density(*(generator.standard_normal(4) for _ in range(5)))
    jacobi = Jacobi(*(generator.standard_normal(count) for count in (3, 2, 3, 2)))
    spectrum = Spectrum(
        "hessian", "class 0", 12, (pair, pair), (), Bulk(edge, edge, 0.5), density, jacobi=jacobi
    )
    return Record(
        step=step,
        epoch=1.0,
        reference=(direction("x0"), direction("mu0")),
        matrices=(HESSIAN,),
        sources=(Source("Ärzte", "über $x$", "1234.56789", "all"),),
        measured=Geometry(
            (
                Quantity(
                    "gram",
                    generator.standard_normal((2, 2)).T,
                    "squared parameter",
                    (("x0", "mu0"),) * 2,
                    band=np.array([[0.0, math.nan], [1.0, 2.0]]),
                    symmetric=True,
                ),
                Quantity.number("loss", math.inf, "loss"),
            ),
            (spectrum,),
        ),
        predicted=Geometry((Quantity.number("loss", 1.5, "loss", 0.25),)),
        transitions=(Transition("hessian", "class 0", "bottom", "splits", 1, 2),),
        operator="head",
        failures=(Failure("", 'a "quoted"\nline with € and \x00'),),
        seconds={"krylov": 0.1},
    )


def assert_same(a, b, in_file=False, kept=False):
    """Equal in type and in every bit, NaN included, but for what a file keeps in float32."""
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if kept:
            np.testing.assert_allclose(a, b, rtol=2.0**-24, atol=0)
        else:
            assert a.tobytes() == b.tobytes()
    elif isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y, in_file)
    elif hasattr(a, "__dataclass_fields__"):
        for field in fields(a):
            kept = in_file and "kept" in field.metadata
            assert_same(getattr(a, field.name), getattr(b, field.name), in_file, kept)
    elif isinstance(a, float) and math.isnan(a):
        assert math.isnan(b)
    else:
        assert a == b


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records.jsonl"


def write(path, *records):
    file = RecordFile(path)
    for record in records:
        file.write(record)
    file.close()


def test_decoding_inverts_encoding_bit_for_bit():
    for record in (full_record(), Record(step=0), Record(step=1, predicted=Geometry())):
        text = json.dumps(encode(record), allow_nan=False)
        assert_same(decode(json.loads(text)), record)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3)),
        np.array([2.5]),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.array([True, False]),
        np.array([1 + 2j, np.nan], dtype=np.complex64),
        np.arange(12.0, dtype=np.float32).reshape(3, 4)[::2, ::-1],
    ],
)
def test_arrays_keep_shape_and_values_of_any_dtype_and_layout(array):
    back = decode(json.loads(json.dumps(encode(array), allow_nan=False)))
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back, array)


def test_numpy_scalars_are_written_as_the_numbers_they_are():
    assert encode((np.float64(0.1), np.int64(3), np.bool_(True))) == [0.1, 3, True]
    assert encode(np.float64("nan")) == {"$number": "nan"}


@pytest.mark.parametrize("value", [object(), [1], {"$type": "Record"}, {1: 2.0}, np.array(["a"])])
def test_what_records_do_not_hold_is_refused(value):
    with pytest.raises(TypeError, match="value"):
        encode(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"$type": "Popen"}, "type.*Popen"),
        ({"$type": "Record", "step": 1, "colour": 2}, "fields of Record.*colour"),
        ({"$type": "Record"}, "fields of Record.*step.*missing"),
        ({"$array": "|O", "shape": [1], "data": ""}, "array.*O"),
    ],
)
def test_unknown_types_and_fields_are_refused_by_name(value, words):
    with pytest.raises(ValueError, match=words):
        decode(value)


def test_a_spectrum_of_an_earlier_version_has_no_coefficients():
    content = encode(full_record())
    del content["measured"]["spectra"][0]["jacobi"]
    assert decode(content).measured.spectra[0].jacobi is None


@pytest.mark.parametrize(("word", "side"), [("right", "top"), ("left", "bottom")])
def test_transitions_of_an_earlier_version_have_todays_sides(word, side):
    now = Transition("hessian", "class 0", side, "splits", 2, 2)
    assert encode(now)["side"] == side
    assert decode(encode(now) | {"side": word}) == now == decode(encode(now))


def test_the_schema_has_type_and_unit_of_every_field():
    assert schema()["Eigenpair"]["value"] == {
        "type": "float",
        "unit": "that of the matrix",
    }
    assert all(field["unit"] for kind in schema().values() for field in kind.values())


def test_records_come_back_in_order_and_the_header_explains_them(path):
    records = [full_record(step) for step in range(3)]
    write(path, *records)
    assert_same(tuple(read_records(path)), tuple(records), in_file=True)
    header = json.loads(path.read_text().splitlines()[0])
    assert header["format"] == "spectrain-records"
    assert header["schema"] == schema()


def test_load_reads_a_run_folder(tmp_path, path):
    write(path, Record(step=1))
    assert load(tmp_path).config == {}
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    run = load(tmp_path)
    assert run.config == {"seed": 3}
    assert run.dimension is None
    assert [record.step for record in run.records] == [1]
    with pytest.raises(ValueError, match="run: expected"):
        load(tmp_path / "nowhere")
    for content in ("a: [", "- 1"):
        (tmp_path / "config.yaml").write_text(content)
        with pytest.raises(ValueError, match=r"config\.yaml: expected"):
            load(tmp_path)


def test_the_file_alone_says_what_was_run_and_where(tmp_path):
    config = {"system": "größer", "dimension": 60, "mixture": {"snr": 1 / 3}}
    RecordFile(tmp_path / "moved.jsonl", config).close()
    RecordFile(tmp_path / "moved.jsonl").close()
    run = load(tmp_path / "moved.jsonl")
    assert run.config == config
    assert run.dimension == 60
    assert run.environment == environment()
    assert {"python", "spectrain", "torch", "numpy", "system", "processors"} <= set(run.environment)


def test_the_environment_names_no_user_no_host_and_no_place():
    text = " ".join(environment().values())
    assert platform.node() not in text.split()
    assert getpass.getuser() not in text.split()
    assert "/" not in text


def test_a_file_cut_at_any_byte_keeps_its_complete_records_and_can_be_continued(path):
    records = [Record(step=step, operator="é") for step in range(3)]
    write(path)
    ends = [path.stat().st_size]
    for record in records:
        write(path, record)
        ends.append(path.stat().st_size)
    content = path.read_bytes()
    header = content.index(b"\n")
    # Inside the long header every 50th byte will do; behind it each one is tried.
    for cut in (*range(0, header, 50), *range(header, len(content) + 1)):
        path.write_bytes(content[:cut])
        kept = max(0, sum(end <= cut for end in ends) - 1)
        notice = pytest.warns(
            UserWarning, match=rf"line {kept + 1 + (cut >= ends[0])} .* incomplete"
        )
        with nullcontext() if cut in (0, *ends) else notice:
            assert [record.step for record in read_records(path)] == list(range(kept))
    for cut in (*range(0, ends[-2], 197), *range(ends[-2], len(content), 17)):
        path.write_bytes(content[:cut])
        kept = max(0, sum(end <= cut for end in ends) - 1)
        write(path, *records[kept:])
        assert path.read_bytes() == content


def test_damage_in_the_middle_is_located_and_what_precedes_it_is_read(path):
    write(path, *(full_record(step) for step in range(3)))
    lines = path.read_bytes().splitlines(keepends=True)
    start = len(lines[0]) + len(lines[1])
    content = bytearray(b"".join(lines))
    for place in (start, start + 30, start + len(lines[2]) // 2, start + len(lines[2]) - 2):
        damaged = content.copy()
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.warns(UserWarning, match=rf"line 3 \(from byte {start}\) is damaged"):
            read = tuple(read_records(path))
        assert [record.step for record in read] == [0]


def damaged_headers(content):
    """With one bit changed at every 401st byte of the header, and at its ends."""
    end = content.index(b"\n") + 1
    for place in (*range(0, end, 401), *range(end - 22, end, 7)):
        damaged = bytearray(content)
        damaged[place] ^= 1
        yield bytes(damaged)


def test_a_damaged_header_hides_no_record_behind_it(path, tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 3\n")
    file = RecordFile(path, {"seed": 5})
    for step in range(2):
        file.write(full_record(step))
    file.close()
    for content in damaged_headers(path.read_bytes()):
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="line 1, the header, is damaged: .*config.* is lost"):
            run = load(tmp_path)
        assert_same(run.records, (full_record(0), full_record(1)), in_file=True)
        assert (run.config, run.environment) == ({"seed": 3}, {})


def test_a_run_goes_on_behind_a_damaged_header(path):
    write(path, Record(step=0))
    for content in damaged_headers(path.read_bytes()):
        path.write_bytes(content)
        with pytest.warns(UserWarning, match="header, is damaged"):
            file = RecordFile(path)
        assert file.offset == len(content)
        file.write(Record(step=1))
        file.close()
        assert path.read_bytes().startswith(content)
        with pytest.warns(UserWarning, match="header, is damaged"):
            assert steps(path) == [0, 1]


def test_a_damaged_header_alone_is_no_record_file(path):
    write(path)
    for content in damaged_headers(path.read_bytes()):
        path.write_bytes(content)
        if content.endswith(b"\n"):
            with pytest.raises(ValueError, match="path: expected a file of format"):
                steps(path)
            with pytest.raises(ValueError, match="path: expected a file of format"):
                RecordFile(path)


def test_nothing_is_appended_behind_damage_where_it_would_not_be_read(path):
    write(path, *(full_record(step) for step in range(3)))
    content = bytearray(path.read_bytes())
    start = sum(map(len, content.splitlines(keepends=True)[:2]))
    content[start + 30] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"line 3 damaged; cut it off at byte {start}"):
        RecordFile(path)
    assert path.read_bytes() == content
    path.write_bytes(content[:start])
    write(path, Record(step=9))
    assert [record.step for record in read_records(path)] == [0, 9]


KILLED = """
import sys
from itertools import count
import numpy as np
from spectrain.probes.records.record import Geometry, Record
from spectrain.probes.records.record_file import RecordFile
from spectrain.probes.records.version1 import quantities
file = RecordFile(sys.argv[1])
gram = np.random.default_rng(0).standard_normal((200, 200))
for step in count(int(sys.argv[2])):
    file.write(Record(step=step, measured=Geometry(quantities(gram=gram))))
    print(step, flush=True)
"""


@pytest.mark.slow
def test_what_a_killed_writer_had_written_is_there_and_the_next_goes_on_behind_it(path):
    generator = np.random.default_rng(5)
    first = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), str(first)], stdout=subprocess.PIPE, text=True
        ) as writer:
            written = [int(writer.stdout.readline())]
            time.sleep(generator.uniform(0, 0.05))
            writer.kill()  # SIGKILL
            written += [int(line) for line in writer.stdout if line.endswith("\n")]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*incomplete")
            steps = [record.step for record in read_records(path)]
        assert steps == list(range(len(steps)))
        assert set(written) <= set(steps)
        first = len(steps)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"step,loss\n", "path: expected a file of format"),
        (
            b'{"format":"spectrain-records","version":3}\n',
            r"version.*expected one of \(1, 2\), got 3",
        ),
    ],
)
def test_other_files_and_other_versions_are_refused_and_left_alone(path, content, words):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        tuple(read_records(path))
    with pytest.raises(ValueError, match=words):
        RecordFile(path)
    assert path.read_bytes() == content


def test_truncating_forgets_what_came_after_an_offset(path):
    file = RecordFile(path)
    file.write(Record(step=0))
    offset = file.offset
    file.write(Record(step=1))
    with pytest.raises(ValueError, match="offset: expected the end of a record"):
        file.truncate(offset - 1)
    file.truncate(offset)
    file.write(Record(step=2))
    with pytest.raises(ValueError, match="offset"):
        file.truncate(file.offset + 1)
    file.close()
    file.close()
    assert [record.step for record in read_records(path)] == [0, 2]
    assert path.stat().st_size == file.offset


def on_a_full_disk(path, *lines):
    """Run lines of a program in a process whose files may grow by 100 bytes, until `free()`."""
    program = f"""
import resource
from spectrain.probes.records.record import Record
from spectrain.probes.records.record_file import RecordFile

def free():
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

def fails(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return True

resource.setrlimit(resource.RLIMIT_FSIZE, ({path.stat().st_size + 100}, resource.RLIM_INFINITY))
file = RecordFile({str(path)!r})
"""
    program += "\n".join(lines)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def steps(path):
    return [record.step for record in read_records(path)]


def test_a_disk_that_is_full_for_a_while_costs_no_record(path):
    """A limit on the file size stands for the disk: a write first comes short, then fails."""
    write(path, Record(step=0))
    on_a_full_disk(
        path,
        "assert fails(file.write, Record(step=1)) and fails(file.write, Record(step=2))",
        f"assert file.offset == {path.stat().st_size}",
        "free()",
        "file.write(Record(step=3))",
    )
    assert steps(path) == [0, 1, 2, 3]


def test_what_waits_is_written_at_the_end_or_its_loss_told(path):
    write(path, Record(step=0))
    on_a_full_disk(
        path,
        "assert fails(file.write, Record(step=1)) and fails(file.close)",
        "file.close()",
    )
    assert steps(path) == [0]
    on_a_full_disk(path, "assert fails(file.write, Record(step=1))", "free()", "file.close()")
    assert steps(path) == [0, 1]


def test_what_waits_is_forgotten_with_the_records_it_follows(path):
    write(path, Record(step=0))
    end = path.stat().st_size
    on_a_full_disk(
        path,
        "assert fails(file.write, Record(step=1))",
        "free()",
        f"file.truncate({end})",
        "file.write(Record(step=2))",
    )
    assert steps(path) == [0, 2]


def test_one_line_is_one_record_with_all_spectra_or_those_of_one_block(tmp_path):
    record = full_record()
    with_other = Geometry(spectra=(*record.measured.spectra, Spectrum("hessian", "b", 1, (), ())))
    record = replace(record, measured=with_other)
    file = RecordFile(tmp_path / "records.jsonl")
    file.write(record)
    file.close()
    line = (tmp_path / "records.jsonl").read_bytes().splitlines(keepends=True)[1]
    assert_same(parse_record(line), record, in_file=True)
    # Of the others it is said that there are some, and which.
    stubs = {
        name: replace(
            geometry,
            spectra=tuple(
                each
                if (each.matrix, each.block) == ("hessian", "b")
                else Spectrum(each.matrix, each.block, 0, (), ())
                for each in geometry.spectra
            ),
        )
        for name in ("measured", "predicted", "forecast")
        if (geometry := getattr(record, name)) is not None
    }
    one = replace(record, tracks=(), **stubs)
    assert_same(parse_record(line, only=("hessian", "b")), one, in_file=True)
    with pytest.raises(ValueError, match="damaged"):
        parse_record(line.replace(b"class 0", b"class 1"))


@pytest.mark.parametrize("content", [b"one line of somebody", b'{"format":"other', b"\x00", b"{}"])
def test_a_file_of_somebody_else_stays_as_it_is(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="path: expected a new file or one of records, got"):
        RecordFile(path)
    assert path.read_bytes() == content


def test_folders_are_made(tmp_path):
    file = RecordFile(tmp_path / "a" / "b" / "records.jsonl")
    file.write(Record(0))
    file.close()
    assert [record.step for record in read_records(file.path)] == [0]


@pytest.mark.parametrize("how", ["gone", "folder gone", "replaced", "emptied", "cut"])
def test_a_file_that_vanishes_or_shrinks_is_noticed_at_the_next_record(tmp_path, how):
    path = tmp_path / "run" / "records.jsonl"
    file = RecordFile(path, {"seed": 3})
    for step in range(3):
        file.write(Record(step))
    if how == "gone":
        path.unlink()
    elif how == "folder gone":
        path.unlink()
        path.parent.rmdir()
    elif how == "replaced":
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    else:
        os.truncate(path, 0 if how == "emptied" else path.stat().st_size - 3)
    with pytest.warns(RuntimeWarning, match="expected the .* bytes that were written, got a file"):
        file.write(Record(3))
    file.write(Record(4))
    file.close()
    run = load(path)
    left = {"replaced": [0, 1, 2], "cut": [0, 1]}.get(how, [])
    assert [record.step for record in run.records] == [*left, 3, 4]
    assert run.config == {"seed": 3}


def test_what_waits_goes_on_into_the_new_file(tmp_path, monkeypatch):
    path = tmp_path / "records.jsonl"
    file = RecordFile(path)

    def full(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr("os.write", full)
        with pytest.raises(OSError, match="disk full"):
            file.write(Record(0))
    path.unlink()
    with pytest.warns(RuntimeWarning, match="records go on behind them"):
        file.write(Record(1))
    file.close()
    assert [record.step for record in read_records(path)] == [0, 1]
