"""Bits per byte of gzip and xz on a task's held-out text: the baselines for a model.

`gzip -9` compresses that text alone; `xz -9` is also given the training text, as the model is: the
size of both together minus the size of the training text. Arguments: task and split.
"""

import gzip
import lzma
import sys

from lm import quiet


def main(task: str = "python_docs", split: str = "validation") -> None:
    """Prints one line per compressor."""
    quiet.install()  # before any module loads TensorFlow
    from lm.data.registry import task_registry
    from lm.data.tokenizer_corpus import TaskText

    task_registry.find(task)
    parts = [TaskText(mixture_or_task_name=task, split=name) for name in ("train", split)]
    train, text = ("\n".join(part).encode() for part in parts)
    given = len(lzma.compress(train + text, preset=9)) - len(lzma.compress(train, preset=9))
    print(f"{task}, {split}: {len(text):,} bytes. Bits per byte of")
    print(f"  gzip -9 alone                  {8 * len(gzip.compress(text, 9)) / len(text):.3f}")
    print(f"  xz -9 given the training text  {8 * given / len(text):.3f}")


main(*sys.argv[1:])
