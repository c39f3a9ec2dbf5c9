"""`lm doctor` finds what is missing, mixed up, full or too small, and says what to do."""

import hashlib
import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from importlib import metadata
from pathlib import Path

import pytest

from lm import xla_flags
from lm.cli.main import main
from lm.reliability import doctor
from lm.reliability.doctor import BAD, GOOD, NOTE

ROOT = Path(__file__).resolve().parents[2]


def installed(site: Path, name: str, contents: dict[str, str], version: str = "1.0") -> None:
    """Installs a distribution of Python files, over whatever is there, as pip does."""
    lines = []
    for path, text in contents.items():
        (site / path).parent.mkdir(exist_ok=True)
        (site / path).write_text(text)
        digest = urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(text)}")
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "RECORD").write_text("\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of installed packages that is searched first."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor, "RIVALS", (("owl", "owl-nightly"),))
    return tmp_path


def test_one_of_two_owners_is_no_finding(site):
    installed(site, "owl", {"owl/a.py": "1"})
    assert list(doctor.rivals()) == []


def test_the_owner_of_disputed_files_is_named(site):
    installed(site, "owl", {"owl/a.py": "1", "owl/b.py": "1", "owl/same.py": "0"})
    installed(site, "owl-nightly", {"owl/a.py": "2", "owl/b.py": "2", "owl/same.py": "0"})
    (found,) = doctor.rivals()
    assert (found.check, found.verdict) == ("owl and owl-nightly", NOTE)
    assert found.value == "2 files in dispute, all are those of owl-nightly"


def test_a_mixture_of_two_packages_is_bad(site):
    installed(site, "owl", {"owl/a.py": "1", "owl/b.py": "1"})
    installed(site, "owl-nightly", {"owl/a.py": "2", "owl/b.py": "2"})
    (site / "owl/b.py").write_text("1")
    (found,) = doctor.rivals()
    assert found.verdict == BAD
    assert found.advice == "pip uninstall owl owl-nightly, then pip install owl-nightly"


def test_missing_and_old_packages_are_bad(site, monkeypatch):
    installed(site, "owl", {"owl/a.py": "1"})
    wanted = ["owl>=2", "pelican>=1", "keras>=3", "absent; extra == 'test'"]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    found = {row.check: row for row in doctor.packages()}
    assert {name: row.verdict for name, row in found.items()} == {
        "owl": BAD,
        "pelican": BAD,
        "keras": GOOD,
    }
    assert found["owl"].value == "1.0"
    assert "pip install 'pelican>=1'" in found["pelican"].advice


def test_an_unknown_engine_is_bad(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    (found,) = [row for row in doctor.devices() if row.check == "engine"]
    assert (found.verdict, found.advice) == (BAD, "set KERAS_BACKEND to tensorflow or jax")


def test_a_folder_that_cannot_be_written_is_bad(tmp_path, monkeypatch):
    assert doctor.writable("cache", tmp_path / "new" / "deep").verdict == GOOD

    def refuse(**settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "NamedTemporaryFile", refuse)
    found = doctor.writable("cache", tmp_path)
    assert (found.verdict, found.advice) == (BAD, "give another folder by LM_CACHE_DIR")


def test_a_disk_that_is_too_small_is_bad(tmp_path):
    assert doctor.disk("run", tmp_path, 1).verdict == GOOD
    assert doctor.disk("run", tmp_path, 2**62).verdict == BAD


def test_jax_adds_up_right():
    assert doctor.jax_sums().verdict == GOOD


@pytest.mark.skipif(metadata.version("jaxlib") != xla_flags.WRONG_SUMS, reason="another jaxlib")
def test_wrong_sums_of_jax_are_bad(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"{xla_flags.FUSIONS}=+reduce")
    found = doctor.jax_sums()
    assert (found.verdict, found.value[-12:]) == (BAD, "1073741824.0")
    assert "XLA_FLAGS" in found.advice


@pytest.mark.parametrize(("backend", "is_guarded"), [("jax", True), ("tensorflow", False)])
def test_only_jax_is_guarded(monkeypatch, backend, is_guarded):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(xla_flags, "version", {"jaxlib": xla_flags.WRONG_SUMS}.get)
    xla_flags.guard()
    assert (xla_flags.FUSIONS in os.environ["XLA_FLAGS"]) == is_guarded


def test_the_backend_is_known_without_keras(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert xla_flags.keras_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert xla_flags.keras_backend() == "jax"


def test_a_jax_that_does_not_start_is_bad(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_nonsense=1")
    found = doctor.jax_sums()
    assert found.verdict == BAD
    assert "--xla_nonsense=1" in found.value


def test_missing_data_sets_are_a_note(monkeypatch, tmp_path):
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path / "none"))
    assert doctor.data_sets().verdict == NOTE


def test_the_exit_code_and_the_json_tell_what_is_bad(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert main(["doctor", "--json", f"--workdir={tmp_path}"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [row["check"] for row in rows if row["verdict"] == BAD] == ["engine"]
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert main(["doctor", f"--workdir={tmp_path}"]) == 0


def test_it_needs_no_framework():
    code = (
        "import sys; from lm.cli.main import main; main(['doctor'])\n"
        "assert not {'tensorflow', 'jax', 'keras', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_a_model_that_is_too_large_is_told(capsys, monkeypatch, tmp_path):
    from lm.engines import memory

    words = ["doctor", "--gin_file=models/gpt2/small.gin", "--gin_file=optim/adamw.gin"]
    words += ["--gin.NUM_LAYERS=1", "--gin.TRAIN_STEPS=100", f"--workdir={tmp_path}"]
    assert main(words) == 0
    assert "memory" in capsys.readouterr().out
    monkeypatch.setattr(memory, "available", lambda: 2**29)
    assert main([*words, "--json"]) == 1
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["verdict"] == BAD]
    assert row["check"] == "memory"
    # 38.6M + 0.8M + 7.1M weights, as many gradients, twice as many slots, 4 bytes each.
    assert "weights 0.17 GiB, slots 0.35 GiB, gradients 0.17 GiB" in row["value"]
    assert "optim/adafactor.gin" in row["advice"]
