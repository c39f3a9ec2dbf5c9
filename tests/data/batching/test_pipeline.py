"""The training stream: each example once an epoch, the same for a seed, resumed exactly."""

import collections
import io
import subprocess
import sys
import textwrap
import zipfile

import numpy as np
import pytest
import seqio
import tensorflow as tf

from lm.data.batching import pipeline, stream
from lm.data.rows import features, packing
from lm.errors import UserError
from tests.data import toy

LENGTHS = {"inputs": 16, "targets": 16}


def packed():
    """A converter that packs."""
    return features.EncoderDecoder(pack=packing.FirstFit)


def make(name, **changes):
    """A pipeline over a task."""
    settings = {"converter": packed, "batch_size": 4, "seed": 1, "lengths": LENGTHS} | changes
    return pipeline.Pipeline(mixture_or_task_name=name, **settings)


def texts(batch, tokens="decoder_target_tokens", segments="decoder_segment_ids"):
    """The target texts in a batch, without EOS."""
    found = []
    for row, ids in zip(batch[tokens], batch[segments], strict=True):
        found += [toy.text(row[ids == segment]) for segment in range(1, ids.max() + 1)]
    return found


def same(a, b):
    """Whether two batches are equal, feature by feature."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture
def task():
    """A task of 40 examples, and a smaller one."""
    toy.task("pipeline_small", {"train": [{"inputs": "small", "targets": "tiny"}] * 5})
    return toy.task("pipeline_task", {"train": toy.numbered(40)}).name


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 100])
def test_every_epoch_is_another_permutation(count):
    """Indices without state: position alone decides."""
    indices = stream.shuffled_indices(count, seed=3, name="x").take(3 * count)
    epochs = np.array(list(indices.as_numpy_iterator())).reshape(3, count)
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(count))
    if count == 100:
        assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3
        assert np.abs(np.corrcoef(epochs)[np.triu_indices(3, 1)]).max() < 0.4


def test_each_example_comes_once_an_epoch(task):
    """Without a shuffle buffer 40 examples are exactly the first epoch."""
    batches = make(task, converter=features.EncoderDecoder, batch_size=8, shuffle_buffer=1)
    seen = [text for _ in range(5) for text in texts(next(batches))]
    assert sorted(seen) == sorted(example["targets"] for example in toy.numbered(40))


def test_the_seed_decides_everything(task):
    """Equal seeds, equal batches; another seed, others."""
    first, second, other = (make(task, seed=seed) for seed in (1, 1, 2))
    batches = [next(first) for _ in range(3)]
    assert all(same(batch, next(second)) for batch in batches)
    assert not all(same(batch, next(other)) for batch in batches)


def test_batches_have_the_announced_shapes(task):
    """NumPy arrays of the types that models want; waiting is counted."""
    batches = make(task)
    batch = next(batches)
    assert {name: (x.shape, x.dtype.name) for name, x in batch.items()} == {
        name: (tuple(spec.shape), spec.dtype.name) for name, spec in batches.features.items()
    }
    assert batches.wait_seconds > 0
    assert batch["decoder_segment_ids"].max() > 1


def test_a_position_is_restored_in_a_new_iterator(task):
    """The next batch is the one that followed."""
    batches = make(task)
    for _ in range(5):
        next(batches)
    state = batches.state()
    expected = [next(batches) for _ in range(6)]
    again = make(task)
    again.restore(state)
    assert all(same(batch, next(again)) for batch in expected)


@pytest.mark.slow
def test_a_mixture_with_random_preprocessors_is_restored_in_a_new_process(cache):
    """Mixing, stateless seeds, packing and the shuffle buffer go on where they were."""
    program = textwrap.dedent("""
        import pathlib, sys
        import numpy as np
        from tests.data.mixed import make
        batches = make()
        batches.restore(pathlib.Path(sys.argv[1]).read_bytes())
        np.savez(sys.argv[2], *[next(batches)["decoder_target_tokens"] for _ in range(5)])
    """)
    from tests.data.mixed import make as make_mixed

    batches = make_mixed()
    for _ in range(7):
        next(batches)
    state, result = cache.parent / "state", cache.parent / "result.npz"
    state.write_bytes(batches.state())
    expected = [next(batches)["decoder_target_tokens"] for _ in range(5)]
    subprocess.run([sys.executable, "-c", program, state, result], check=True)
    with np.load(result) as found:
        assert all(map(np.array_equal, expected, found.values()))


def test_a_changed_pipeline_is_refused(task):
    """TensorFlow would go on silently; here the fact is named with both values."""
    state = make(task).state()
    changes = {
        "seed was 1, is 2": {"seed": 2},
        "batch_size was 4, is 2": {"batch_size": 2},
        "shuffle_buffer was 1024, is 9": {"shuffle_buffer": 9},
        r"lengths\.inputs was 16, is 20": {"lengths": {"inputs": 20, "targets": 16}},
        r"converter\.1\.packer\.0 was FirstFit, is Pad": {"converter": features.EncoderDecoder},
        r"features\.\w+\.inputs\.vocabulary was": {"vocabulary": seqio.ByteVocabulary(extra_ids=3)},
    }
    for told, change in changes.items():
        with pytest.raises(UserError, match=told):
            make(task, **change).restore(state)


def test_cuts_are_reported_and_language_models_have_none(caplog):
    """A converter that trims says how many; one that splits gets every token."""
    rows = [{"inputs": "a", "targets": "x" * 20}, {"inputs": "b", "targets": "y"}]
    made = toy.task("pipeline_cuts", {"train": rows})
    trimming = [*made.preprocessors[:-1], seqio.preprocessors.append_eos_after_trim]
    seqio.TaskRegistry.remove(made.name)
    seqio.TaskRegistry.add_provider(made.name, made.replace(preprocessors=trimming))
    make(made.name)
    assert (
        "pipeline_cuts/train: 1 of 2 (50.0 %) targets are longer than 16 and truncated"
        in caplog.text
    )
    caplog.clear()
    whole = make(made.name, converter=features.LanguageModel, batch_size=3, shuffle_buffer=1)
    assert sorted(texts(next(whole))) == ["x" * 4, "x" * 16, "y"]
    assert "longer than" not in caplog.text


def test_a_task_without_the_cache_mark_is_streamed(task):
    """Every example comes, and the position is restored there too."""
    made = seqio.TaskRegistry.get(task)
    steps = [s for s in made.preprocessors if not isinstance(s, seqio.CacheDatasetPlaceholder)]
    seqio.TaskRegistry.remove("pipeline_stream")
    seqio.TaskRegistry.add_provider(
        "pipeline_stream", made.replace(name="pipeline_stream", preprocessors=steps)
    )
    batches = make("pipeline_stream", converter=features.EncoderDecoder, batch_size=8)
    next(batches)
    state = batches.state()
    expected = [next(batches) for _ in range(60)]
    assert {text for batch in expected for text in texts(batch)} == {
        example["targets"] for example in toy.numbered(40)
    }
    again = make("pipeline_stream", converter=features.EncoderDecoder, batch_size=8)
    again.restore(state)
    assert all(same(batch, next(again)) for batch in expected)


def test_a_change_can_be_allowed(task):
    """By its name."""
    state = make(task).state()
    make(task, seed=2).restore(state, allow_changes=["seed"])
    with pytest.raises(UserError, match="damaged"):
        make(task).restore(state[: len(state) // 2])


def test_processes_share_the_rows_of_the_same_batches(task):
    """Their rows together are the global batch, and one's position serves another count."""
    whole = make(task)
    parts = [make(task, process_index=i, process_count=2) for i in range(2)]
    state = parts[0].state()
    for _ in range(3):
        batch, halves = next(whole), [next(part) for part in parts]
        joined = {name: np.concatenate([half[name] for half in halves]) for name in batch}
        assert same(batch, joined)
    again = make(task)
    again.restore(state)
    assert same(next(again), next(make(task)))
    with pytest.raises(UserError, match="BATCH_SIZE = 4 is not divisible by 3"):
        make(task, process_count=3)


def test_a_mixture_is_drawn_by_its_rates(task):
    """With a cap: min(5, 10) to min(40, 10) is 1 to 2."""
    seqio.MixtureRegistry.remove("pipeline_mixture")

    def rate(task):
        return seqio.mixing_rate_num_examples(task, maximum=10)

    seqio.MixtureRegistry.add("pipeline_mixture", [task, "pipeline_small"], default_rate=rate)
    batches = make("pipeline_mixture", converter=features.EncoderDecoder, batch_size=100)
    counts = collections.Counter(text == "tiny" for _ in range(6) for text in texts(next(batches)))
    assert batches.fingerprint()["rates"] == pytest.approx([1 / 3, 2 / 3])
    assert counts[True] / 600 == pytest.approx(1 / 3, abs=0.07)


def test_the_fingerprint_names_files_and_tokenizers(task):
    """All that decides the batches, as JSON."""
    found = make(task).fingerprint()
    assert found["mixture_or_task_name"] == task
    assert len(found["features"][task]["targets"]["vocabulary"]) == 64
    assert found["sources"][task]["split"] == "train"
    packer = ["FirstFit", {"group": 256, "max_examples": 256}]
    assert found["converter"] == ["EncoderDecoder", {"packer": packer}]


def test_unknown_names_are_one_line(task):
    """With the nearest name, the splits there are, the features there are."""
    with pytest.raises(UserError, match="did you mean 'pipeline_task'"):
        make("pipeline_tusk")
    with pytest.raises(UserError, match="no split 'dev'; it has: train"):
        make(task, split="dev")
    with pytest.raises(UserError, match="no length for 'targets'"):
        make(task, lengths={"inputs": 3})


def gone(dataset):
    """A preprocessor that leaves nothing."""
    return dataset.filter(lambda example: tf.size(example["targets"]) > 1000)


def test_a_task_of_which_nothing_is_left_is_named():
    """An endless stream of nothing would be waited for without end."""
    toy.task("pipeline_some", {"train": toy.numbered(4)})
    toy.task("pipeline_none", {"train": toy.numbered(4)}, preprocessors=[gone])
    seqio.MixtureRegistry.remove("pipeline_both")
    seqio.MixtureRegistry.add("pipeline_both", [("pipeline_some", 1), ("pipeline_none", 1)])
    for name in ("pipeline_none", "pipeline_both"):
        with pytest.raises(UserError, match=r"pipeline_none/train: no example is left"):
            make(name)


def test_the_sizes_of_the_vocabularies_are_told(task):
    """By feature and task, for the trainer to compare with the model."""
    sizes = make(task).vocabulary_sizes
    assert sizes == {"'inputs' in pipeline_task": 259, "'targets' in pipeline_task": 259}


@pytest.mark.parametrize("name", ["iterator.index", "pipeline.json"])
def test_a_position_that_unpacks_without_end_is_refused_unread(task, name):
    """By its stated sizes, however often an archive names the same bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(name, "w") as file:
            for _ in range(100):
                file.write(bytes(2**20))
        for _ in range(2):
            archive.filelist += archive.filelist
    with pytest.raises(UserError, match=r"its \d+ KiB would unpack to 400 MiB"):
        make(task).restore(packed.getvalue())
