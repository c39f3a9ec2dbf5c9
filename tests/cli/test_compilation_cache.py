"""The cache of compiled programs: which variable is set, to which folder, and when none is."""

import os

import pytest

from lm.bench import processor
from lm.cli import compilation_cache
from lm.cli.compilation_cache import JAX, SHORTEST, SWITCH, TENSORFLOW
from lm.train import metadata
from lm.xla_flags import CACHE


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in (SWITCH, JAX, SHORTEST, TENSORFLOW, "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path))


def test_each_engine_is_told_by_its_own_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    compilation_cache.start()
    assert os.environ[JAX].startswith(f"{tmp_path}/compiled/jax-")
    assert os.environ[SHORTEST] == "0"  # small programs too
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv(TENSORFLOW, "--tf_xla_auto_jit=0")
    compilation_cache.start()
    kept, ours = os.environ[TENSORFLOW].split()
    assert kept == "--tf_xla_auto_jit=0"
    assert ours.startswith(f"{CACHE}={tmp_path}/compiled/tensorflow-")


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_what_is_set_is_kept_and_off_is_off(monkeypatch, backend):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setenv(SWITCH, "off")
    compilation_cache.start()
    assert JAX not in os.environ and TENSORFLOW not in os.environ
    monkeypatch.delenv(SWITCH)
    monkeypatch.setenv(JAX, "mine")
    monkeypatch.setenv(TENSORFLOW, f"{CACHE}=mine")
    compilation_cache.start()
    assert os.environ[JAX] == "mine" and os.environ[TENSORFLOW] == f"{CACHE}=mine"


def test_a_folder_that_others_can_write_to_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    folder = tmp_path / "compiled" / compilation_cache.key()
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    compilation_cache.start()
    assert JAX not in os.environ


def test_other_flags_and_processors_have_folders_of_their_own(monkeypatch):
    keys = {compilation_cache.key()}
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX2")
    keys.add(compilation_cache.key())
    monkeypatch.setattr(processor, "instructions", lambda: ["avx2"])
    keys.add(compilation_cache.key())
    assert len(keys) == 3


def test_the_folder_is_no_fact_of_the_machine(monkeypatch, tmp_path):
    # TensorFlow reads its flags once: if that is here, later tests compile into this folder.
    monkeypatch.setenv(TENSORFLOW, f"{CACHE}={tmp_path}")
    assert TENSORFLOW not in metadata.machine()["environment"]
