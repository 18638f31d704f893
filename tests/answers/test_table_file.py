"""Files of either format are read by their suffix; what holds no table is refused."""

import pytest

from spectrain.answers.table_file import read_table


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.json", '{"snr": 3, "labels": [0, 1]}'),
        ("s.JSON", '\ufeff{"snr": 3, "labels": [0, 1]}'),
        ("s.toml", "snr = 3\nlabels = [0, 1]"),
        ("s", '{"snr": 3, "labels": [0, 1]}'),
        ("s.spec", "snr = 3\nlabels = [0, 1]"),
    ],
)
def test_files_are_read_by_their_suffix(name, text, tmp_path):
    (tmp_path / name).write_text(text, "utf-8")
    assert read_table(str(tmp_path / name)) == {"snr": 3, "labels": [0, 1]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("s.json", b"snr = 3"),
        ("s.toml", b'{"snr": 3}'),
        ("s.txt", b"snr: 3"),
        ("s.json", b""),
        ("s.json", b"[1, 2]"),
        ("s.json", b"3"),
        ("s.json", b'{"snr": 3, "snr": 4}'),
        ("s.json", b'{"snr": 3} {}'),
        ("s.json", b"\xff\xfe"),
        ("s.json", b"[" * 100_000),
        ("s.toml", b"a = 1\na = 2"),
    ],
)
def test_files_that_hold_no_table_are_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"^SPEC: expected"):
        read_table(str(tmp_path / name))


@pytest.mark.parametrize("name", ["nowhere.json", ".", ""])
def test_files_that_are_not_there_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"^SPEC: expected"):
        read_table(name)
