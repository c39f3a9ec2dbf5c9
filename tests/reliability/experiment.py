"""A tiny experiment with everything that has a state, in four kinds."""

import random
from pathlib import Path

SHARED = """\
from __gin__ import dynamic_registration

include 'runs/pretrain.gin'
include '{model}'
include 'objectives/token_prediction.gin'
include '{features}'
include 'optim/adamw.gin'
include 'tiny.gin'

from lm import train
from lm.data.storage import readers
from lm.data.user_tasks import user
from lm.optim import adamw
from lm.train import samples

DROPOUT_RATE = 0.1
first/user.text_task.name = 'first'
user.text_task.reader = @readers.read_text_lines
first/user.text_task.train = '{folder}/first.txt'
first/user.text_task.validation = '{folder}/held_out.txt'
BATCH_SIZE = 4
TRAIN_STEPS = {steps}
EVAL_PERIOD = 10
WARMUP_STEPS = 4
adamw.adamw.average = 0.9
train.train.microbatches = 2
train.train.log_period = 3
train.train.save_period = 2
train.train.keep = 3
NUM_LAYERS = 1
"""
MIXED = """\
MIXTURE_OR_TASK_NAME = @user.mixture()
user.mixture.tasks = [@first/user.text_task(), @second/user.text_task()]
second/user.text_task.name = 'second'
second/user.text_task.train = '{folder}/second.txt'
second/user.text_task.validation = '{folder}/held_out.txt'
"""
LANGUAGE_MODEL = (
    MIXED
    + """\
TASK_FEATURE_LENGTHS = {{'targets': 32}}
MAX_SEQUENCE_LENGTH = 64
VOCABULARY_SIZE = 260
samples.Samples.count = 2
"""
)
EXPERTS = "NUM_EXPERTS = 8\n"
SPAN_CORRUPTION = (
    MIXED
    + """\
TASK_FEATURE_LENGTHS = {{'inputs': 32, 'targets': 24}}
HEAD_DIM = 8
VOCABULARY_SIZE = 384
train.train.samples = None
"""
)
GOES_ON = """\
MIXTURE_OR_TASK_NAME = @first/user.text_task()
TASK_FEATURE_LENGTHS = {{'targets': 32}}
VOCABULARY_SIZE = 260
HEAD_DIM = 8
samples.Samples.count = 2
"""
REMEMBERING = GOES_ON + "MEMORY_LENGTH = 48\n"
KINDS = {
    "remembering": (
        "models/transformer_xl/architecture.gin",
        "features/contiguous.gin",
        REMEMBERING,
    ),
    "convolved": ("models/primer/architecture.gin", "features/contiguous.gin", GOES_ON),
    "language_model": (
        "models/gpt2/architecture.gin",
        "features/language_model.gin",
        LANGUAGE_MODEL,
    ),
    "experts": (
        "models/moe/architecture.gin",
        "features/language_model.gin",
        LANGUAGE_MODEL + EXPERTS,
    ),
    "span_corruption": (
        "models/t5/architecture.gin",
        "features/span_corruption.gin",
        SPAN_CORRUPTION,
    ),
}


def write(folder: Path, *, steps: int, kind: str = "language_model", more: str = "") -> Path:
    """Writes texts and the gin file of the experiment; returns the file.

    Args:
        folder: where to.
        steps: TRAIN_STEPS.
        kind: which of `KINDS`: packed language modelling with samples, dense or with experts, T5's
            random spans, or rows that go on, read by Transformer-XL or by Primer.
        more: gin text at the end.
    """
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghij", k=rng.randint(2, 7))) for _ in range(60)]
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("first", 90), ("second", 50), ("held_out", 6)):
        lines = [" ".join(rng.choices(words, k=rng.randint(3, 12))) for _ in range(count)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    model, features, own = KINDS[kind]
    path = folder / f"{kind}.gin"
    shared = SHARED.format(folder=folder, steps=steps, model=model, features=features)
    path.write_text(shared + own.format(folder=folder) + more)
    return path
