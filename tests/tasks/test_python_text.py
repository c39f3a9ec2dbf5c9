"""The tasks from the interpreter's own text: splits, counts, duplicates."""

import ast
import platform

import pytest

pytest.importorskip("seqio")
from tasks import python_code, python_docs
from tasks.support import standard_library

# Documents and characters of each split, by interpreter and task.
COUNTS = {
    "3.11.7": {
        python_docs: {"train": (377, 1660629), "validation": (13, 94185), "test": (34, 99547)},
        python_code: {"train": (330, 6748626), "validation": (13, 468929), "test": (39, 575086)},
    },
    "3.12.1": {
        python_docs: {"train": (377, 1694213), "validation": (13, 94909), "test": (34, 99163)},
        python_code: {"train": (331, 6751411), "validation": (13, 470304), "test": (39, 573986)},
    },
    "3.13.0": {
        python_docs: {"train": (381, 1717844), "validation": (12, 87354), "test": (34, 101357)},
        python_code: {"train": (349, 6965152), "validation": (12, 440455), "test": (40, 597855)},
    },
}
MODULES = ("argparse", "copy", "email", "heapq", "json", "logging", "shlex", "xml")
TASKS = pytest.mark.parametrize("task", [python_docs, python_code], ids=lambda m: m.TASK.name)


@TASKS
def test_counts(task):
    sizes = {split: (len(found), sum(map(len, found))) for split, found in task.corpus().items()}
    if platform.python_version() in COUNTS:
        assert sizes == COUNTS[platform.python_version()][task]
    shares = {
        split: characters / sum(n for _, n in sizes.values())
        for split, (_, characters) in sizes.items()
    }
    assert shares["train"] > 0.8
    assert min(shares["validation"], shares["test"]) > 0.02


@TASKS
def test_splits_share_no_document(task):
    train, validation, test = (set(task.corpus()[split]) for split in standard_library.SPLITS)
    assert not train & validation and not train & test and not validation & test


def test_no_docstring_is_on_two_sides(monkeypatch, tmp_path):
    shared, own = "Said in every module of the library.", "Said here alone: {}."
    (tmp_path / "pydoc_data").mkdir()
    (tmp_path / "pydoc_data" / "topics.py").write_text("topics = {'if': 'The if statement.'}\n")
    for name in MODULES:
        text = f'"""{shared}"""\ndef f():\n    """{own.format(name)}"""\n'
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(standard_library, "root", lambda: tmp_path)
    documents = python_docs.corpus.__wrapped__()
    texts = [text for found in documents.values() for text in found]
    assert len(texts) == 1 + len(MODULES)
    assert sum(shared in text for text in texts) == 1
    assert min(map(len, documents.values())) > 0
    assert "The if statement." in documents["train"]


def test_few_lines_of_the_held_out_text_are_in_train():
    lines = {
        split: {line for text in found for line in text.splitlines() if len(line) > 30}
        for split, found in python_docs.corpus().items()
    }
    for split in ("validation", "test"):
        assert len(lines[split] & lines["train"]) < 0.03 * len(lines[split])


def test_a_module_and_its_twin_are_on_one_side():
    for name, twin in (("io.py", "_pyio.py"), ("decimal.py", "_pydecimal.py")):
        assert standard_library.split_of(name) == standard_library.split_of(twin)
    assert standard_library.split_of("json/decoder.py") == standard_library.split_of("json/tool.py")


def test_tests_and_machine_made_files_are_left_out():
    names = [module.name for module in standard_library.modules(standard_library.root())]
    assert names == sorted(names)
    assert "heapq.py" in names
    assert not [name for name in names if "/test" in name or name.startswith("_sysconfigdata")]


def test_docstrings_come_in_file_order_and_without_indentation():
    source = '"""A."""\nclass B:\n    """B.\n\n    More."""\n    def c(self): "C."\ndef d(): pass\n'
    assert standard_library.docstrings(source) == ["A.", "B.\n\nMore.", "C."]
    ast.parse(source)


def test_topics_are_those_of_help():
    topics = standard_library.topics(standard_library.root())
    assert "assert" in topics
    assert list(topics) == sorted(topics)
    assert 'The "assert" statement' in topics["assert"]


def test_the_fingerprint_changes_with_the_files(monkeypatch, tmp_path):
    for name in ("heapq.py", "bisect.py"):
        (tmp_path / name).write_text('"""Text."""\n')
    monkeypatch.setattr(standard_library, "root", lambda: tmp_path)
    before = standard_library.fingerprint()
    assert before == standard_library.fingerprint()
    (tmp_path / "bisect.py").write_text('"""Other text."""\n')
    assert before != standard_library.fingerprint()


def test_an_interpreter_without_sources_is_named(monkeypatch, tmp_path):
    from lm.errors import UserError

    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(UserError, match="no source files of the standard library"):
        standard_library.root()
