"""FLAN: its tables and names, templates, options, few-shot prompts, ranking, mixtures."""

import collections
import hashlib
import itertools
import json
import re
import string
import subprocess
import sys

import pytest

pytest.importorskip("seqio")
import seqio
import tensorflow as tf

from lm.data.batching import stream
from lm.data.evaluation.rank_classification import Choice, rank_accuracy
from lm.data.registry import on_demand, task_registry
from lm.data.user_tasks.user_instructions import options_block
from lm.data.vocabulary import byte_vocabulary
from lm.errors import UserError
from tasks.flan import clusters, few_shot, names
from tasks.flan.data_set import DataSet, data_sets
from tasks.flan.examples import records, written
from tasks.flan.names import Prompt, parse
from tasks.flan.origin import Origin
from tasks.flan.register import metric, rate, references
from tasks.flan.template import Example, Template, render

INSTRUCTED = {name: found for name, found in data_sets().items() if found.templates}
# Read by `make test-long` alone.
LARGE = frozenset(
    "imdb_reviews p3 chain_of_thought mnli_matched gsm8k dbpedia lambada snli rotten_tomatoes cola "
    "multi30k_ende multi30k_enfr eutrans_enes aeslc ag_news_subset tweeteval_offensive".split()
)
METRICS_OF = {
    "accuracy": {"exact_match"},
    "exact_match": {"exact_match"},
    "f1_accuracy": {"exact_match", "f1"},
    "macro_f1_accuracy": {"exact_match", "macro_f1"},
    "correlation_accuracy": {"exact_match", "pearson", "spearman"},
}
READY_MADE = ("p3", "chain_of_thought", "seed_tasks")
LENGTHS = {"inputs": 512, "targets": 64}
# Of the first rendered examples, on any machine. A changed template or reading changes it.
FIRST_40 = "7ae29918bde9c72c"
FIRST_12_000 = "5384d118707b1e8c"


def rows(name, split, number):
    task = task_registry.find(name)
    dataset = stream.one_pass(task, split, stream.Steps(LENGTHS, trims=()))
    return list(dataset.take(number).as_numpy_iterator())


def text_of(row, feature="inputs"):
    return row[f"{feature}_pretokenized"].decode()


def test_the_paper_counts_62_sets_in_12_clusters_and_the_release_69_in_17():
    counts = [len(names) for names in clusters.PAPER.values()]
    assert counts == [7, 4, 4, 4, 3, 4, 5, 2, 3, 7, 11, 8]
    assert (len(clusters.RELEASE), sum(map(len, clusters.RELEASE.values()))) == (17, 69)
    everything = {name for names in clusters.groups().values() for name in names}
    assert everything <= set(INSTRUCTED)


@pytest.mark.parametrize(("start", "table"), clusters.TABLES.items())
def test_no_held_out_set_or_near_one_is_trained_on(start, table):
    groups = clusters.groups()
    for cluster in table:
        trained = set(groups[f"{start}without_{cluster}"])
        assert trained
        for other in (cluster, *clusters.NEAR.get(cluster, ())):
            assert not trained & set(groups.get(f"{start}cluster_{other}", ()))
        far = set(table) - {cluster, *clusters.NEAR.get(cluster, ())}
        assert all(set(groups[f"{start}cluster_{other}"]) <= trained for other in far)


def test_the_ablation_of_clusters_grows_as_published_but_for_one_translation_pair():
    sizes = [len(clusters.groups()[f"{number}clusters"]) for number in range(1, 8)]
    assert sizes == [11, 19, 25, 29, 33, 36, 38]


def test_every_set_has_ten_templates_that_ask_and_answer():
    for name, data_set in INSTRUCTED.items():
        if name in READY_MADE:
            continue
        assert len(set(data_set.templates)) == 10, name
        assert len(data_set.asking()) >= 6, name
        assert all("{answer}" in "".join(template) for template in data_set.templates), name


def test_no_two_sets_share_a_template_but_those_that_share_all():
    seen = collections.defaultdict(set)
    for data_set in INSTRUCTED.values():
        for template in data_set.templates:
            text = re.sub(r"{\w+}", "{}", template.inputs)
            if len(re.sub(r"\W|{}", "", text)) > 20:  # "{question}" and "Question: … Answer:" may
                seen[text].add(data_set.templates)
    assert [text for text, sets in seen.items() if len(sets) > 1] == []


def test_options_stand_last_or_before_what_leads_to_the_answer():
    example = Example({"text": "So good.", "answer": "yes"}, ("no", "yes"), ("yes",))
    block = options_block(example.options)
    assert block.removeprefix("OPTIONS:\n- ").split("\n- ") == ["no", "yes"]
    asked = render(Template("{text} Praise?"), example, options=True)
    assert asked == (f"So good. Praise?\n\n{block}", "yes")
    assert render(Template("{text}\nPraise:"), example, options=True)[0].endswith(
        "\n- yes\nPraise:"
    )
    assert render(Template("{text} Praise?"), example, options=False)[0] == "So good. Praise?"
    assert "OPTIONS" not in render(Template("Praise: {answer}", "{text}"), example, options=True)[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flan_rte_zsopt", ("rte", Prompt("opt"))),
        ("flan_rte_zsnoopt_template3_rank", ("rte", Prompt("noopt", template=3, rank=True))),
        ("flan_rte_fsopt", ("rte", Prompt("opt", shots=16))),
        ("flan_rte_fs5noopt_4templates", ("rte", Prompt("noopt", shots=5, templates=4))),
        ("flan_without_sentiment_datasetname", ("without_sentiment", Prompt("datasetname"))),
        ("flan_rte_opt", None),
    ],
)
def test_names(name, expected):
    assert parse(name) == expected


def test_all_names_are_many_and_resolve_on_demand():
    known = list(on_demand.names())
    assert len(set(known)) == len(known) > 10_000
    for name in ("flan_squad_v1_zsopt", "flan_quac_fs2noopt_template7", "flan_all_fsopt"):
        assert name in known
        assert task_registry.find(name).name == name
    for name in ("flan_rte_zsopt_template9_rank", "flan_aeslc_zsopt_rank", "flan_rte_zsopt_9x"):
        assert name not in known
        on_demand.register(name)
        assert name not in task_registry.names()
    with pytest.raises(UserError, match="did you mean 'flan_rte_zsopt'"):
        task_registry.get("flan_rte_zsop")


def test_importing_is_light():
    code = (
        "import lm, time, sys; start = time.process_time(); "
        "import tasks.flan, tasks.symbol_tuning; "
        "print(time.process_time() - start, 'seqio' in sys.modules, 'tensorflow' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *heavy = out.stdout.split()
    assert float(seconds) < 0.2
    assert heavy == ["False", "False"]


def small():
    return DataSet("toy", tuple(Template(f"{n} {{text}}") for n in range(10)), options=tuple("ab"))


class ToyOrigin:
    """25 examples of two classes."""

    splits = ("train", "test")

    def examples(self, split):
        texts = [f"{split} {number}" for number in range(25)]
        return [Example({"text": text, "answer": "a"}, ("a", "b"), ("a",)) for text in texts]


def test_templates_in_turn_lose_nothing_and_record_their_index():
    made = list(records(small(), Prompt("noopt"), ToyOrigin(), "train"))
    assert [record["template"] for record in made] == [number % 10 for number in range(25)]
    assert made[13]["inputs"] == "3 train 13"
    four = records(small(), Prompt("noopt", templates=4), ToyOrigin(), "train")
    assert [record["template"] for record in four] == [number % 4 for number in range(25)]
    (only,) = {
        r["template"] for r in records(small(), Prompt("opt", template=7), ToyOrigin(), "test")
    }
    assert only == 7


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_exemplar_comes_from_train_and_never_is_the_query(split):
    for record in records(small(), Prompt("noopt", shots=16), ToyOrigin(), split):
        shots = record["exemplar_inputs"]
        assert len(set(shots)) == 16
        assert record["inputs"] not in shots
        index = record["template"]
        assert all(shot.startswith(f"{index} train") for shot in shots)  # the query's template


def test_exemplars_are_dropped_by_tokens():
    example = {
        "inputs": "q" * 200,
        "targets": "t",
        "exemplar_inputs": ["x" * 300] * 5,
        "exemplar_targets": ["y" * 20] * 5,
    }
    feature = seqio.Feature(byte_vocabulary())
    dataset = tf.data.Dataset.from_tensors(example)
    (made,) = few_shot.with_exemplars(dataset, {"inputs": feature}).as_numpy_iterator()
    assert made["shots"] == 2
    assert made["inputs"].decode() == ("x" * 300 + "\n" + "y" * 20 + "\n\n") * 2 + "q" * 200
    assert "exemplar_inputs" not in made


def test_ranking_rows_and_their_accuracy():
    made = list(records(small(), Prompt("opt", rank=True), ToyOrigin(), "test"))
    assert [(r["example"], r["choice"], r["is_correct"], r["targets"]) for r in made[:3]] == [
        (0, 0, 1, "a"),
        (0, 1, 0, "b"),
        (1, 0, 1, "a"),
    ]
    targets = [Choice(r["example"], r["choice"], bool(r["is_correct"])) for r in made]
    assert rank_accuracy(targets, [-1.0, -2.0] * 25) == {"rank_accuracy": 100.0}
    assert rank_accuracy(targets, [-1.0, -1.0] * 25) == {"rank_accuracy": 100.0}  # ties: the first
    several = [Choice(0, 0, False), Choice(0, 1, True), Choice(0, 2, True)]
    assert rank_accuracy(several, [-3.0, -2.0, -1.0]) == {"rank_accuracy": 100.0}


def test_rates_are_capped_and_sets_without_training_data_have_none():
    def task(number, split="train"):
        dataset = tf.data.Dataset.range(3)
        source = seqio.FunctionDataSource(
            lambda split, shuffle_files: dataset, splits=[split], num_input_examples={split: number}
        )
        return seqio.Task("sized", source, {}, preprocessors=[])

    sizes = [rate(task(number), maximum=3000) for number in (1000, 3000, 30_000)]
    assert sizes == [1000, 3000, 3000]
    assert rate(task(500, "test"), maximum=3000) == 0


def test_a_mixture_says_which_members_are_missing_and_trains_on_the_rest_when_asked(data_dir):
    with pytest.raises(UserError, match=r"flan_cluster_sentiment_zsopt: 2 of 4 tasks miss their"):
        task_registry.provider("flan_cluster_sentiment_zsopt", "train")
    mixture = task_registry.provider("flan_cluster_sentiment_zsopt_available", "train")
    assert [task.name for task in mixture.tasks] == ["flan_imdb_reviews_zsopt", "flan_sst2_zsopt"]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in LARGE else ())
        for name, one in INSTRUCTED.items()
        if one.local
    ],
)
def test_every_held_set_is_read_and_rendered(name, data_dir):
    data_set = data_sets()[name]
    if not (data_dir / next(iter(data_set.local.values())).split("/")[0]).is_dir():
        pytest.skip(f"no {name} in the folder of data")
    origin = Origin(data_set)
    split = "validation" if "validation" in origin.splits else "test"
    made = list(itertools.islice(records(data_set, Prompt("opt"), origin, split), 20))
    assert made
    for record in made:
        assert record["inputs"].strip()
        assert record["targets"].strip()
        is_asked = not data_set.templates[record["template"]].is_turned_around
        assert ("OPTIONS:\n- " in record["inputs"]) == (is_asked and names.ranks(data_set))
    if data_set.metric.endswith("accuracy") or data_set.metric == "exact_match":
        scores = scores_of_targets(data_set, made)
        assert scores["exact_match"] == 100.0
        assert METRICS_OF[data_set.metric] == set(scores)
    if names.ranks(data_set):
        ranked = list(
            itertools.islice(records(data_set, Prompt("opt", rank=True), origin, split), 200)
        )
        right = collections.Counter()
        for record in ranked[:-20]:
            right[record["example"]] += record["is_correct"]
        assert 0 not in list(right.values())[:-1]


def scores_of_targets(data_set, made):
    """The metrics of records whose targets are taken for predictions."""
    texts = [[text.encode() for text in record["references"]] for record in made]
    right, guesses = (
        [
            references(record["targets"], example={"references": found}, is_target=is_target)
            for record, found in zip(made, texts, strict=True)
        ]
        for is_target in (True, False)
    )
    return metric(data_set)(right, guesses)


@pytest.mark.parametrize(
    ("name", "targets", "predictions", "expected"),
    [
        ("glue_mrpc", ["no", "yes"], ["banana", "yes"], {"exact_match": 50, "f1": 200 / 3}),
        ("multirc", ["no", "yes", "yes"], ["no", "yes", "no"], {"f1": 200 / 3}),
        ("multirc", ["A text.", "yes"], ["A text.", "yes"], {"exact_match": 100, "f1": 100}),
        ("cb", ["yes", "no", "it is unclear"], ["yes", "no", "no"], {"macro_f1": 500 / 9}),
        ("stsb", ["0", "1", "2", "3"], ["0", "1", "2", "5"], {"spearman": 100}),
        ("stsb", ["0", "1", "2"], ["1", "2", "3"], {"exact_match": 0, "pearson": 100}),
        ("stsb", ["0", "5"], ["a lot", "5"], {"pearson": 100}),
    ],
)
def test_metrics_of_classes(name, targets, predictions, expected):
    """A text that is no class counts as wrong; turned-around templates ask for none."""
    found = metric(data_sets()[name])([[target] for target in targets], predictions)
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_the_answer_to_a_turned_around_template_is_its_target():
    claim = Template("Claim something. Asked if it is true, one says {answer}.", "{text}")
    toy = DataSet("toy", (Template("{text}?"), claim), options=("a", "b"))
    asked, told = itertools.islice(records(toy, Prompt("opt"), ToyOrigin(), "test"), 2)
    assert (asked["references"], asked["targets"]) == (["a"], "a")
    assert (told["references"], told["targets"]) == (["test 1"], "test 1")
    assert scores_of_targets(toy, [asked, told]) == {"exact_match": 100.0}
    bare = next(records(DataSet("toy", (claim,)), Prompt("notemplate"), ToyOrigin(), "test"))
    assert bare["references"] == ["a"]


def test_columns_of_local_files_and_of_templates_agree():
    for name, data_set in INSTRUCTED.items():
        if data_set.read != "columns":
            continue
        patterns = [pattern for template in data_set.templates for pattern in template]
        asked = {field for text in patterns for _, field, _, _ in string.Formatter().parse(text)}
        for columns in filter(None, (data_set.columns, data_set.local_columns)):
            assert asked - {None, "answer"} <= set(columns), name


def test_a_task_is_read_in_all_forms(data_dir):
    (row,) = rows("flan_cb_zsopt_template6", "test", 1)
    assert text_of(row).startswith("Context: ")
    assert row["template"] == 6
    assert row["inputs"][-1] == 1  # the end of the sequence
    (few,) = rows("flan_cb_fs2opt_template6", "test", 1)
    assert text_of(few).endswith(text_of(row))
    assert text_of(few).count("Context: ") == 1 + few["shots"]
    ranked = rows("flan_cb_zsnoopt_rank", "test", 3)
    assert [text_of(one, "targets") for one in ranked] == ["yes", "no", "it is unclear"]


@pytest.mark.parametrize("form", ["zsopt", "fs2opt"])
def test_question_and_options_remain_where_the_passage_is_too_long(form, data_dir):
    task = task_registry.find(f"flan_multirc_{form}_template6")
    steps = stream.Steps({"inputs": 1024, "targets": 64})
    for row in stream.one_pass(task, "train", steps).take(20).as_numpy_iterator():
        mark = "Several answers may be right."
        asked = mark + text_of(row).rpartition(mark)[2].partition("\n")[0]
        text = byte_vocabulary().decode(row["inputs"].tolist())
        assert len(row["inputs"]) <= 1024
        assert asked in text
        assert text.endswith("OPTIONS:\n- no\n- yes")


def test_the_ablations_have_no_instruction():
    example = Example(
        {"premise": "Rain.", "hypothesis": "Wet.", "answer": "yes"}, ("yes",), ("yes",)
    )
    data_set = data_sets()["rte"]
    assert written(data_set, Prompt("notemplate"), 0, example) == ("Rain.\nWet.", "yes")
    assert written(data_set, Prompt("datasetname"), 0, example)[0] == "[rte] Rain.\nWet."


def rendered(names, number):
    """The hash of the first training examples of some sets, zero- and few-shot, as records."""
    found = hashlib.sha256()
    for name, form in itertools.product(names, ("zsopt", "fsnoopt")):
        group, prompt = parse(f"flan_{name}_{form}")
        made = records(data_sets()[group], prompt, Origin(data_sets()[group]), "train")
        for record in itertools.islice(made, number):
            found.update(json.dumps(record, sort_keys=True).encode())
    return found.hexdigest()[:16]


def test_the_first_examples_are_the_same_on_any_machine(data_dir):
    assert rendered(["rte", "trec"], 10) == FIRST_40


@pytest.mark.slow
def test_the_first_ten_thousand_examples_are_the_same_on_any_machine(data_dir):
    some = ["rte", "sst2", "glue_mrpc", "trec", "web_nlg_en", "multi30k_ende"]
    assert rendered(some, 1000) == FIRST_12_000
