"""Finding tasks and mixtures by name and giving them another vocabulary."""

import subprocess
import sys

import numpy as np
import pytest
import seqio
import tensorflow as tf

from lm.data.registry import task_registry
from lm.data.vocabulary import byte_vocabulary, character_vocabulary
from lm.errors import UserError


def _task(name: str, text: str) -> seqio.Task:
    return seqio.Task(
        name,
        seqio.FunctionDataSource(
            lambda split, shuffle_files: tf.data.Dataset.from_tensors({"targets": text}), ["train"]
        ),
        {
            "targets": seqio.Feature(byte_vocabulary(), add_eos=False),
            "weight": seqio.Feature(seqio.PassThroughVocabulary(9), required=False),
        },
        [seqio.preprocessors.tokenize],
    )


def _ids(provider, length=None) -> list[int]:
    dataset = provider.get_dataset(length, "train", shuffle=False, num_epochs=1)
    return next(dataset.as_numpy_iterator())["targets"].tolist()


def test_a_name_of_t5_is_found_without_importing_t5_by_hand():
    assert task_registry.get("glue_cola_v002").name == "glue_cola_v002"
    assert isinstance(task_registry.get("glue_v002_proportional"), seqio.Mixture)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'glue_cola_v002'"):
        task_registry.get("glue_cola_v2")


def test_another_vocabulary_changes_text_features_alone():
    task = _task("some_task", "abc")
    changed = task_registry.with_vocabulary(task, character_vocabulary("cba"))
    assert _ids(task) == [100, 101, 102]
    assert _ids(changed) == [5, 4, 3]
    assert isinstance(changed.output_features["weight"].vocabulary, seqio.PassThroughVocabulary)
    assert not changed.output_features["targets"].add_eos


def test_no_vocabulary_is_no_change():
    task = _task("some_task", "abc")
    assert task_registry.with_vocabulary(task, None) is task


def test_a_mixture_of_mixtures_changes_as_a_whole_and_keeps_its_rates():
    one, two = _task("one", "a"), _task("two", "b")
    inner = seqio.Mixture("inner", [(one, 1), (two, 3)])
    outer = seqio.Mixture("outer", [(inner, 2.0), (one, 1.0)])
    changed = task_registry.with_vocabulary(outer, character_vocabulary("ab"))
    assert {task.output_features["targets"].vocabulary.vocab_size for task in changed.tasks} == {5}
    rates = {}
    for task in changed.tasks:
        rates[task.name] = rates.get(task.name, 0) + changed.get_rate(task)
    expected = {task.name: outer.get_rate(task) for task in outer.tasks}
    assert rates.keys() == expected.keys()
    np.testing.assert_allclose(list(rates.values()), list(expected.values()))


def test_missing_tfds_data_name_the_command_that_fetches_them(tmp_path):
    source = seqio.TfdsDataSource("lm1b:1.1.0", str(tmp_path), ["train"])
    task = seqio.Task("billion", source, {"targets": seqio.Feature(byte_vocabulary())})
    with pytest.raises(UserError, match=r"billion: .*`tfds build lm1b:1\.1\.0 --data_dir="):
        task_registry.require_data(task, "train")


def test_other_sources_need_no_download():
    assert task_registry.require_data(_task("some_task", "abc"), "train") is None


def test_names_of_t5_are_found_though_the_configuration_is_locked():
    code = (
        "import gin; gin.finalize()\n"
        "from lm.data.registry import task_registry\n"
        "print(task_registry.get('glue_cola_v002').name, gin.config_is_locked())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["glue_cola_v002", "True"], done.stderr
