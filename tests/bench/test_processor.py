"""The processor that a figure is printed with, and a processor that is not there."""

import os

from lm.bench import processor


def test_the_limit_reaches_every_library(monkeypatch):
    for name in (*processor.LIMITS["avx2"], "XLA_FLAGS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "restored after the test")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    processor.limit("avx2")
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=x --xla_cpu_max_isa=AVX2"
    assert os.environ["ATEN_CPU_CAPABILITY"] == "avx2"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"].endswith("_avx2")


def test_the_newest_instructions_are_named():
    text = "model name\t: Some CPU @ 2 GHz\nflags\t\t: sse avx2 avx512f avx512_vnni\n"
    found = processor.description(text)
    assert found.startswith("Some CPU @ 2 GHz (")
    assert found.endswith("cores), AVX2, AVX-512, VNNI")


def test_a_machine_without_cpuinfo_has_a_name():
    assert "cores)" in processor.description("")


def test_versions_are_those_of_what_is_installed():
    assert set(processor.versions()) >= {"tensorflow", "jax", "keras", "numpy"}


def test_arm_calls_its_instructions_features():
    assert processor.instructions("Features\t: sve asimd\n") == ["asimd", "sve"]
