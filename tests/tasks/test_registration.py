"""What importing a task module does, and how a name leads to its module."""

import importlib
import re
import sys

import pytest

pytest.importorskip("seqio")
import seqio

from lm import config, resources
from lm.data.registry import on_demand, task_registry
from lm.errors import UserError

MODULES = task_registry.task_modules()
# They register nothing but what they join.
MIXTURES = ("docs_and_novels", "python_all", "reviews_and_novels")
LAZY = {
    "lm1b": "lm1b:1.1.0",
    "c4": "c4/en:3.1.0",
    "wiki40b": "wiki40b/en:1.3.0",
    "pg19": "pg19:0.1.1",
    "wmt14_ende": "wmt14_translate/de-en:1.0.0",
    "wmt14_enfr": "wmt14_translate/fr-en:1.0.0",
    "glue_sst2": "glue/sst2:1.0.0",
    "super_glue_cb_text": "super_glue/cb:1.0.2",
}


@pytest.fixture
def fresh_registries(monkeypatch):
    """SeqIO's registries and `tasks` as before the first import."""
    monkeypatch.setattr(seqio.TaskRegistry, "_REGISTRY", {})
    monkeypatch.setattr(seqio.MixtureRegistry, "_REGISTRY", {})
    monkeypatch.setattr(on_demand, "_FAMILIES", {})
    package = importlib.import_module("tasks")
    for name in _imported():
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.delattr(package, name.split(".")[1], raising=False)
    yield
    for name in _imported():  # those of the test; monkeypatch then puts back the former
        del sys.modules[name]
        vars(package).pop(name.split(".")[1], None)


def _imported() -> list[str]:
    return [name for name in sys.modules if name.startswith("tasks.")]


DATA = resources.gin_folder() / "data"
# Of a user's own texts, and of documents whose words have a vocabulary of their own.
OWN_NAMES = """text_files user_table instruction_files dialog_files parallel_files table_files
    self_training user_label_sets user_pairs imdb_paragraphs""".split()
OWN_FILES = {DATA / f"{name}.gin" for name in OWN_NAMES}


@pytest.mark.parametrize("module", [name for name in MODULES if name not in MIXTURES])
def test_a_module_registers_names_that_begin_with_its_own(module, fresh_registries):
    importlib.import_module(f"tasks.{module}")
    made = [*task_registry.names(), *on_demand.names()]
    assert made
    assert all(name.startswith(module) for name in made)


def test_importing_reads_and_writes_nothing(fresh_registries, monkeypatch, tmp_path):
    monkeypatch.setenv("LM_DATA_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("LM_CACHE_DIR", str(tmp_path / "cache"))
    for module in MODULES:
        importlib.import_module(f"tasks.{module}")
    assert list(tmp_path.iterdir()) == []
    assert len(task_registry.names()) > 30


@pytest.mark.parametrize("module", MODULES)
def test_a_module_tells_what_it_is(module):
    text = importlib.import_module(f"tasks.{module}").__doc__
    assert re.match(rf"{module}\w*", text)
    wanted = ["Source:", "Licence:", "Splits", "What:"] if module not in MIXTURES else []
    assert [word for word in wanted if word not in text] == []


@pytest.mark.parametrize(("name", "data_set"), LAZY.items())
def test_tfds_tasks_open_nothing_until_they_are_read(name, data_set):
    task = task_registry.find(name)
    assert task.source.tfds_dataset.name == data_set
    assert set(task.splits) <= {"train", "validation", "test"}


def test_names_of_t5_are_found():
    assert task_registry.find("wmt_t2t_ende_v003").name == "wmt_t2t_ende_v003"
    assert task_registry.find("glue_v002_proportional").name == "glue_v002_proportional"


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'multi30k_ende'"):
        task_registry.find("multi30k_edne")


def test_a_mixture_by_temperature_and_cap():
    mixture = task_registry.find("python_all")
    rates = [mixture.get_rate(task) for task in mixture.tasks]
    sizes = [task.num_input_examples("train") for task in mixture.tasks]
    assert rates == pytest.approx([min(size, 300) ** 0.5 for size in sizes])


@pytest.mark.parametrize(
    "path",
    # Those of a user's own files name a task otherwise.
    sorted(set(DATA.glob("*.gin")) - OWN_FILES),
    ids=lambda path: path.stem,
)
def test_gin_files_of_data_name_a_task_and_its_lengths(path):
    loaded = config.load([str(path)], roots=["MIXTURE_OR_TASK_NAME"])
    task = task_registry.find(loaded.value("MIXTURE_OR_TASK_NAME"))
    sequences = {name for name, feature in task.output_features.items() if feature.rank}
    assert set(loaded.value("TASK_FEATURE_LENGTHS")) == sequences
    assert task.name == path.stem
