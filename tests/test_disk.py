"""Files and folders are whole or absent, and a failed write is one line."""

import errno
import os

import pytest

from lm import disk
from lm.errors import UserError


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_one_line(tmp_path, monkeypatch, call):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(UserError) as stop:
        disk.replace(path, b"new", what="the metrics")
    said = str(stop.value)
    assert said.startswith(f"cannot write the metrics {path} (")
    assert " MiB free): No space left on device; make room and run the same command" in said
    assert "\n" not in said
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("metrics.jsonl", b"old")]


def test_a_replaced_link_is_not_followed(tmp_path):
    (tmp_path / "target").write_bytes(b"mine")
    (tmp_path / "file").symlink_to(tmp_path / "target")
    disk.replace(tmp_path / "file", b"new", what="a file")
    assert (tmp_path / "target").read_bytes() == b"mine"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()


def filled(folder, text, rename):
    with disk.filled(folder, rename) as temporary:
        (temporary / "file").write_text(text)


def test_a_folder_takes_the_place_of_another_or_leaves_it(tmp_path):
    folder = tmp_path / "above" / "folder"
    for text, rename, found in (
        ("first", disk.replace_folder, "first"),
        ("second", disk.replace_folder, "second"),
        ("third", disk.keep_folder, "second"),
    ):
        filled(folder, text, rename)
        assert (folder / "file").read_text() == found
        assert [path.name for path in folder.parent.iterdir()] == ["folder"]


@pytest.mark.parametrize("cut", [1, 2])
def test_a_kill_while_a_folder_is_replaced_loses_neither(tmp_path, monkeypatch, cut):
    filled(tmp_path / "7", "old", disk.replace_folder)
    rename, left = disk.Path.rename, cut

    class Killed(BaseException):
        pass

    def killed(path, target):
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(disk.Path, "rename", killed)
        patch.setattr(disk, "flush", full if cut == 2 else disk.flush)
        patch.setattr(disk.shutil, "rmtree", lambda *_, **__: None)
        try:
            disk.replace_folder(made(tmp_path), tmp_path / "7")
        except OSError as error:
            raise Killed from error
    disk.clean(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["7"]
    assert (tmp_path / "7" / "file").read_text() == ("new" if cut == 2 else "old")


def made(folder):
    temporary = folder / ".tmp-7-0"
    temporary.mkdir()
    (temporary / "file").write_text("new")
    return temporary
