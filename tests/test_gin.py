"""Every gin file that is shipped loads, alone or in its place in a run."""

from pathlib import Path

import pytest

from lm import config

ROOT = Path(__file__).resolve().parents[1]
TOKENIZERS = "lm.data.tokenizer_training.train"
RUN = {
    "runs": "gin/runs/pretrain.gin",
    "models": "gin/models/transformer/base.gin",
    "objectives": "gin/objectives/token_prediction.gin",
    "features": "gin/features/language_model.gin",
    "data": "gin/data/python_docs.gin",
    "optim": "gin/optim/adamw.gin",
}
FILES = [
    path.relative_to(ROOT).as_posix()
    for folder in ("gin", "tokenizers")
    for path in sorted((ROOT / folder).rglob("*.gin"))
]


STEPS, START = "TRAIN_STEPS = 1", "INITIAL_CHECKPOINT_PATH = 'run'"
MUST_BE_SET = {
    "gin/runs/pretrain.gin": [STEPS],
    "gin/runs/finetune.gin": [STEPS, START],
    "gin/objectives/replaced_token.gin": ["MAX_PREDICTIONS = 19"],
    "gin/features/semi_supervised.gin": [STEPS, "UNLABELLED_TASK = 'imdb_unsup'"],
    "gin/data/self_training.gin": ["LABELLED_TASK = 'sst2'"],
    "gin/features/predicted_tokens.gin": ["MAX_PREDICTIONS = 19"],
}

AFTER = {
    "gin/models/paragraph_vector/architecture.gin": "gin/models/paragraph_vector/dbow_words.gin",
    "gin/models/paragraph_vector/documents.gin": "gin/models/paragraph_vector/dbow.gin",
    "gin/models/paragraph_vector/words.gin": "gin/models/paragraph_vector/dbow_words.gin",
    "gin/papers/comparison/setting/five_minutes.gin": "gin/models/vanilla/small.gin",
    "gin/models/bert/classifier.gin": "gin/models/bert/base.gin",
    "gin/papers/uda/back_translation.gin": "gin/papers/uda/imdb.gin",
    "gin/models/bert/masked.gin": "gin/models/bert/base.gin",
    "gin/models/funnel/classifier.gin": "gin/models/funnel/b4_4_4.gin",
    "gin/models/electra/classifier.gin": "gin/models/electra/small.gin",
    "gin/models/funnel/replaced_tokens.gin": "gin/models/funnel/b4_4_4.gin",
    "gin/models/funnel/masked.gin": "gin/models/funnel/b4_4_4.gin",
    "gin/models/gau/masked.gin": "gin/models/flash/base.gin",
    "gin/models/xlnet/classifier.gin": "gin/models/xlnet/base.gin",
    "gin/models/xlnet/permutation.gin": "gin/models/xlnet/base.gin",
    "gin/papers/pretraining/setting/text.gin": "gin/papers/pretraining/mlm.gin",
    "gin/papers/pretraining/setting/size.gin": "gin/papers/pretraining/mlm.gin",
}

# What labels needs a label head, in a run of labelled rows.
LABELLED = RUN | {"features": "gin/features/classification.gin"}
LABELLED |= {"objectives": "gin/objectives/labels.gin", "models": "gin/models/bert/base.gin"}
WITH_HEAD = [*LABELLED.values(), "gin/models/bert/classifier.gin"]
RECURRENT = LABELLED | {
    "models": "gin/models/lstm_lm/large.gin",
    "features": "gin/features/classification_decoder.gin",
}
WITH_RECURRENT_HEAD = [*RECURRENT.values(), "gin/models/lstm_lm/classifier.gin"]
ELECTRA = [*(RUN | {"models": "gin/models/electra/small.gin"}).values()]
REPLACING = [*ELECTRA, "gin/objectives/replaced_token.gin"]
PARAGRAPHS = RUN | {
    "models": "gin/models/paragraph_vector/dbow_words.gin",
    "objectives": "gin/objectives/negative_sampling.gin",
    "features": "gin/features/word_windows.gin",
}
OF_WORDS = ("document_words", "word_windows", "full_windows")
AT_NODES = ("negative_sampling", "hierarchical_softmax")
LABELLING = {
    "gin/runs/text_metrics.gin": [*RUN.values()],
    **{f"gin/features/{name}.gin": [*PARAGRAPHS.values()] for name in OF_WORDS},
    **{f"gin/objectives/{name}.gin": [*PARAGRAPHS.values()] for name in AT_NODES},
    "gin/runs/rowwise.gin": [*PARAGRAPHS.values()],
    "gin/features/labelled.gin": [*LABELLED.values()],
    "gin/features/replaced_tokens.gin": [
        *(RUN | {"features": "gin/features/masked_tokens.gin"}).values()
    ],
    "gin/data/self_training.gin": [*LABELLED.values(), "gin/data/sst2.gin"],
    "gin/models/lstm_lm/classifier.gin": [*RECURRENT.values()],
    "gin/objectives/auxiliary.gin": WITH_RECURRENT_HEAD,
    "gin/objectives/linear_gain.gin": WITH_RECURRENT_HEAD,
    "gin/models/gpt2/classifier.gin": [
        *(LABELLED | {"models": "gin/models/gpt2/small.gin"}).values()
    ],
    "gin/objectives/all_tokens_mlm.gin": REPLACING,
    "gin/objectives/replace_mlm.gin": REPLACING,
    "gin/objectives/replaced_token.gin": ELECTRA,
    "gin/objectives/spans.gin": WITH_HEAD,
    "gin/papers/flan/setting/local.gin": [*RUN.values()],
    "gin/runs/epochs.gin": [*RUN.values()],
    "gin/features/windows.gin": [*RUN.values(), "gin/features/contiguous.gin"],
    "gin/runs/label.gin": WITH_HEAD,
    "gin/papers/pretraining/setting/labels.gin": WITH_HEAD,
    "gin/data/rejoined.gin": WITH_HEAD,
    "gin/objectives/token_labels.gin": WITH_HEAD,
}


def files_around(name: str) -> list[str]:
    """A whole run in which the file stands for the one of its folder."""
    folder = name.split("/")[1]
    if name in LABELLING:
        return [*LABELLING[name], name]
    if name in AFTER:
        return [AFTER[name], name]
    if folder in ("objectives", "features", "optim") or name in MUST_BE_SET:
        return list((RUN | {folder: name}).values())
    return [name]


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_gin_file_loads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / name).read_text(encoding="utf-8")
    files = files_around(name)
    given = [binding for file in files for binding in MUST_BE_SET.get(file, [])]
    loaded = config.load(files, given, roots=[TOKENIZERS] if "tokenizer_training" in text else ())
    assert loaded.bindings
