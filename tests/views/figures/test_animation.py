from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from spectrain.cli import main
from spectrain.probes.records.record_file import RecordFile
from spectrain.views.figures import animation
from spectrain.views.figures.animation import write_animation


def frames(path):
    with Image.open(path) as image:
        found = []
        for place in range(image.n_frames):
            image.seek(place)
            found.append((np.asarray(image.convert("RGB")), image.info["duration"]))
        return found


def test_there_is_a_frame_a_probing_on_axes_that_hold_still(records, tmp_path):
    records = records[::3]
    path = tmp_path / "new" / "a.gif"
    write_animation(records, path, "class 1")
    found = frames(path)
    assert len(found) == len(records)
    assert found[-1][1] == 2000
    pictures = [picture for picture, _ in found]
    assert len({picture.shape for picture in pictures}) == 1
    width = pictures[0].shape[1]
    # Left of the panels are the ticks of the density, below them those of the eigenvalues.
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture[40:, : width // 20], pictures[0][40:, : width // 20])
        np.testing.assert_array_equal(picture[-90:], pictures[0][-90:])
        assert (picture != pictures[0]).any()
    assert path.stat().st_size < 20_000 * len(records)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes(records, tmp_path):
    for name in ("a.gif", "b.gif"):
        write_animation(records[:2], tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@pytest.mark.slow
def test_of_many_probings_an_even_choice_is_shown(records, tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "_MOST_FRAMES", 3)
    write_animation(records, tmp_path / "a.gif")
    write_animation([records[0], records[3], records[6]], tmp_path / "b.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    assert len(frames(tmp_path / "a.gif")) == 3


@pytest.mark.slow
def test_any_records_can_be_animated(any_records, tmp_path):
    write_animation(any_records[:2], tmp_path / "a.gif")
    assert 1 <= len(frames(tmp_path / "a.gif")) <= max(1, len(any_records))


def test_a_matrix_that_was_not_probed_is_said_to_be_so(records, tmp_path):
    def alone(geometry):
        kept = tuple(each for each in geometry.spectra if each.matrix == "hessian")
        return replace(geometry, spectra=kept)

    bare = [
        replace(each, measured=alone(each.measured), predicted=alone(each.predicted))
        for each in records[:2]
    ]
    write_animation(bare, tmp_path / "a.gif")
    assert len(frames(tmp_path / "a.gif")) == 2


@pytest.mark.slow
def test_the_command_writes_it_beside_the_figures(records, tmp_path, capsys):
    file = RecordFile(tmp_path / "records.jsonl")
    for record in records[:2]:
        file.write(record)
    file.close()
    assert main(["figures", str(tmp_path), "--only", "matrix-maps", "--animate"]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "figures" / "matrix-maps.png"),
        str(tmp_path / "figures" / "spectra.gif"),
    ]
    assert len(frames(tmp_path / "figures" / "spectra.gif")) == 2
    assert main(["figures", "--animate"]) == 2
    assert "animate: expected a run" in capsys.readouterr().err


def test_a_failed_write_leaves_the_old_file(records, tmp_path, monkeypatch):
    path = tmp_path / "a.gif"
    write_animation(records[:1], path)
    old = path.read_bytes()

    def fail(self, file, *arguments, **options):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_animation(records[:1], path)
    assert path.read_bytes() == old


def test_a_file_of_somebody_else_stays(records, tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(b"GIF89a of somebody else")
    with pytest.raises(ValueError, match=r"output: expected a new file .*a\.gif"):
        write_animation(records[:1], path)
    assert path.read_bytes() == b"GIF89a of somebody else"
