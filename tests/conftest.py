"""A file system of a few pages, for what a full disk does."""

import shutil
import subprocess

import pytest


class SmallDisk:
    """A file system in a folder, of so many bytes, rounded up to whole pages."""

    def __init__(self, folder, size):
        self.folder = folder
        folder.mkdir()
        self.mount(f"size={size}")

    def mount(self, options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")

    def grow(self, size):
        self.mount(f"remount,size={size}")


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts one of a size."""
    if shutil.which("mount") is None:
        pytest.skip("no file system may be mounted here: there is no mount")
    mounted = []

    def make(size):
        disk = SmallDisk(tmp_path / f"disk-{len(mounted)}", size)
        mounted.append(disk)
        return disk

    yield make
    for disk in mounted:
        subprocess.run(["umount", "-l", str(disk.folder)], check=True)
