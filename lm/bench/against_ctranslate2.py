"""Generation by CTranslate2 with the same model, converted from its transformers twin."""

import os
import tempfile
from collections.abc import Callable
from typing import Any

import ctranslate2
import numpy as np
from ctranslate2.converters import transformers as converters

from lm.bench import against_transformers
from lm.bench.twin_spec import TwinSpec
from lm.errors import UserError
from lm.types import Batch

KINDS = {
    "gpt2": ("GPT2Config", ctranslate2.Generator),
    "t5": ("T5Config", ctranslate2.Translator),
    "t5_1_1": ("T5Config", ctranslate2.Translator),
}
SEARCH = {"max_batch_size": 0, "length_penalty": 0.0}


class IdTokenizer:
    """A tokenizer whose tokens are the ids themselves, which is all that the converter needs."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bos_token = self.pad_token = "0"
        self.eos_token, self.unk_token = "1", "2"

    def get_vocab(self) -> dict[str, int]:
        """Returns token -> id."""
        return {str(i): i for i in range(self.size)}

    def convert_ids_to_tokens(self, number: int) -> str:
        """Returns the token of an id."""
        return str(number)


def build(spec: TwinSpec, *, compute_type: str) -> Any:
    """Returns a generator or translator with the weights of the model.

    Args:
        spec: description of the model.
        compute_type: "float32" or "int8".

    Raises:
        UserError: CTranslate2 has no such architecture.
    """
    if spec.model_type not in KINDS:
        raise UserError(
            f"CTranslate2 runs {', '.join(KINDS)}, not {spec.model_type}: --against=transformers"
        )
    kind, runner = KINDS[spec.model_type]
    twin = against_transformers.build(spec)
    converted = converters._MODEL_LOADERS[kind](twin, IdTokenizer(twin.config.vocab_size))
    with tempfile.TemporaryDirectory() as folder:
        converted.validate()
        converted.optimize(quantization="int8" if compute_type == "int8" else None)
        converted.save(folder)
        return runner(
            folder,
            device="cpu",
            compute_type=compute_type,
            inter_threads=1,
            intra_threads=len(os.sched_getaffinity(0)),
        )


def generation(
    spec: TwinSpec, prompts: Batch, *, new_tokens: int, beams: int
) -> dict[str, Callable[[], np.ndarray]]:
    """Returns calls that generate a fixed number of tokens per prompt; none ends a sequence."""
    search = _translation if "encoder_input_tokens" in prompts else _continuation
    return {
        kind: search(build(spec, compute_type=kind), prompts, new_tokens, beam_size=beams)
        for kind in ("float32", "int8")
    }


def _translation(
    runner: Any, prompts: Batch, new_tokens: int, *, beam_size: int
) -> Callable[[], np.ndarray]:
    """Returns the search of an encoder-decoder."""
    sources = _tokens(prompts["encoder_input_tokens"])
    lengths = {"max_decoding_length": new_tokens, "min_decoding_length": new_tokens}

    def search() -> np.ndarray:
        found = runner.translate_batch(sources, beam_size=beam_size, **lengths, **SEARCH)
        return np.array([[int(t) for t in x.hypotheses[0]] for x in found], "int32")

    return search


def _continuation(
    runner: Any, prompts: Batch, new_tokens: int, *, beam_size: int
) -> Callable[[], np.ndarray]:
    """Returns the search of a decoder."""
    sequences = _tokens(prompts["decoder_input_tokens"])
    settings = {"max_length": new_tokens, "min_length": new_tokens, "sampling_topk": 1, **SEARCH}

    def search() -> np.ndarray:
        found = runner.generate_batch(
            sequences, beam_size=beam_size, include_prompt_in_result=False, **settings
        )
        return np.array([x.sequences_ids[0] for x in found], "int32")

    return search


def _tokens(tokens: np.ndarray) -> list[list[str]]:
    return [[str(token) for token in row] for row in tokens]
