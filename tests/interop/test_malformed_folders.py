"""Every malformed Hugging Face folder ends in one line that names what is wrong; nothing is run.

A folder of the golden GPT-2 is spoilt in one way at a time. No model is built.
"""

import json
import os
import pickle
import shutil
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from lm.data.tokenizer_json import TokenizerVocabulary
from lm.errors import UserError
from lm.interop.model_folder import read_folder, require_fit
from lm.interop.purposes import label_names
from lm.interop.tokenizer_files import copy_tokenizer, vocabulary_bindings
from tests.interop import golden_folder

WTE, C_ATTN = "transformer.wte.weight", "transformer.h.0.attn.c_attn.weight"
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return golden_folder.write("gpt2", tmp_path_factory.mktemp("sound") / "gpt2")


@pytest.fixture(scope="module")
def shapes(sound):
    return {path: tensor.shape for path, tensor in read_folder(sound).weights.items()}


def said(**values):
    """config.json with other values; None leaves a key out."""

    def spoil(folder):
        new = {**golden_folder.config("gpt2"), **values}
        golden_folder.write_config(folder, {k: x for k, x in new.items() if x != "absent"})

    return spoil


def held(change):
    """model.safetensors with other tensors."""

    def spoil(folder):
        tensors = golden_folder.read("gpt2")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return spoil


def written(name, data):
    def spoil(folder):
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())

    return spoil


def header(text, data=b""):
    text = text if isinstance(text, bytes) else json.dumps(text).encode()
    return written("model.safetensors", struct.pack("<Q", len(text)) + text + data)


def gone(*names):
    def spoil(folder):
        for name in names:
            (folder / name).unlink()

    return spoil


def cut(size):
    def spoil(folder):
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[:size])

    return spoil


def sharded(change):
    """Two shards with their index, which is changed."""

    def spoil(folder):
        tensors = golden_folder.read("gpt2")
        names = sorted(tensors)
        places = {name: SHARDS[i % 2] for i, name in enumerate(names)}
        for shard in SHARDS:
            part = {name: tensors[name] for name in names if places[name] == shard}
            save_file(part, folder / shard)
        (folder / "model.safetensors").unlink()
        index = {"weight_map": places}
        change(index, folder)
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return spoil


def both(*spoils):
    def spoil(folder):
        for one in spoils:
            one(folder)

    return spoil


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("/tmp/seqlm-trap",)


def put(index, name, file):
    index["weight_map"][name] = file


TOKENIZER = json.loads(golden_folder.tokenizer().to_str())
DEEP = "[" * 100_000
WEIGHTS = {
    "no config": (gone("config.json"), "has no config.json"),
    "config is no JSON": (written("config.json", "{"), "config.json is not JSON"),
    "config is a list": (written("config.json", "[]"), "holds a list"),
    "config is binary": (written("config.json", b"\xff\xfe\x00"), "config.json is not JSON"),
    "config is nested": (written("config.json", DEEP), "config.json is not JSON"),
    "unknown type": (said(model_type="llama"), "model_type = 'llama'; known are bert"),
    "no type": (said(model_type="absent"), "model_type = None"),
    "type is a list": (said(model_type=["gpt2"]), r"model_type = \['gpt2'\]"),
    "unknown class": (said(architectures=["GPT2ForMagic"]), "architectures = .'GPT2ForMagic'"),
    "class is a number": (said(architectures=[7]), "architectures = .7"),
    "size is a text": (said(n_embd="16"), "n_embd = '16'; it must be an integer above 0"),
    "size is negative": (said(n_layer=-1), "n_layer = -1"),
    "size is huge": (said(vocab_size=10**12), "vocab_size = 1000000000000"),
    "layers without end": (
        said(n_layer=10**9),
        "n_layer = 1000000000; it must be an integer from 1",
    ),
    "size is a fraction": (said(n_head=2.5), "n_head = 2.5"),
    "size is true": (said(n_head=True), "n_head = True"),
    "rate is above one": (said(resid_pdrop=1.5), "resid_pdrop = 1.5; it must be a number from 0"),
    "epsilon is no number": (said(layer_norm_epsilon=float("nan")), "layer_norm_epsilon = nan"),
    "unknown activation": (said(activation_function="mish"), "activation_function = 'mish'"),
    "activation is code": (
        said(activation_function="__import__('os').system('x')"),
        "activation_function = ",
    ),
    "unknown attention": (said(scale_attn_by_inverse_layer_idx=True), "only scale_attn_by_inv"),
    "cross attention": (said(add_cross_attention=True), "add_cross_attention = True"),
    "no weights": (gone("model.safetensors"), "has neither model.safetensors nor"),
    "pickle": (
        both(gone("model.safetensors"), written("pytorch_model.bin", pickle.dumps(Trap()))),
        "runs code when it is read",
    ),
    "pickle under a good name": (
        written("model.safetensors", pickle.dumps(Trap())),
        "not a complete safetensors file",
    ),
    "empty file": (written("model.safetensors", b""), "not a complete safetensors file"),
    "cut header": (cut(100), "not a complete safetensors file"),
    "cut data": (cut(-100), "not a complete safetensors file"),
    "header of terabytes": (
        written("model.safetensors", struct.pack("<Q", 2**42)),
        "not a complete safetensors file",
    ),
    "header is no JSON": (header(b"{]"), "not a complete safetensors file"),
    "offsets outside": (
        header({WTE: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 999]}}, b"1234"),
        "not a complete safetensors file",
    ),
    "offsets overlap": (
        header(
            {
                n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
                for n in (WTE, "transformer.wpe.weight")
            },
            b"1234",
        ),
        "not a complete safetensors file",
    ),
    "shape and size differ": (
        header({WTE: {"dtype": "F32", "shape": [9, 9], "data_offsets": [0, 4]}}, b"1234"),
        "not a complete safetensors file",
    ),
    "eight-bit floats": (
        header({WTE: {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}, b"1234"),
        "is F8_E4M3; known are",
    ),
    "integers": (
        held(lambda t: t.update({WTE: np.ones((48, 16), "int32")})),
        "wte.weight holds int32",
    ),
    "missing tensor": (held(lambda t: t.pop(C_ATTN)), "h.0.attn.c_attn.weight is missing"),
    "unexpected tensor": (
        held(lambda t: t.update(intruder=np.ones(1, "float32"))),
        "no variable for the tensor transformer.intruder",
    ),
    "one layer too many": (
        held(lambda t: t.update({"transformer.h.2.ln_1.weight": np.ones(16, "float32")})),
        "h.2.ln_1.weight belongs to no part",
    ),
    "wrong shape": (
        held(lambda t: t.update({"transformer.ln_f.bias": np.ones(17, "float32")})),
        r"ln_f.bias is \[17\] here, \[16\] by",
    ),
    "wrong rank": (
        held(lambda t: t.update({C_ATTN: np.ones((), "float32")})),
        r"c_attn.weight has the shape \[\]",
    ),
    "cannot be split": (
        held(lambda t: t.update({C_ATTN: np.ones((16, 47), "float32")})),
        r"c_attn.weight has the shape \[16, 47\]",
    ),
    "a tensor twice": (
        held(lambda t: t.update({WTE.removeprefix("transformer."): t[WTE]})),
        "a tensor twice",
    ),
    "another head": (
        held(lambda t: t.update({"lm_head.weight": np.ones((48, 16), "float32")})),
        "no variable for the tensor lm_head.weight",
    ),
    "no weight map": (sharded(lambda index, _: index.clear()), "has no weight_map"),
    "weight map is a list": (
        sharded(lambda index, _: index.update(weight_map=[1])),
        "has no weight_map",
    ),
    "path upwards": (
        sharded(lambda index, _: put(index, WTE, "../../etc/passwd.safetensors")),
        "which is no .safetensors here",
    ),
    "absolute path": (
        sharded(lambda index, _: put(index, WTE, "/etc/passwd")),
        "which is no .safetensors here",
    ),
    "pickle in the index": (
        sharded(lambda index, _: put(index, WTE, "pytorch_model.bin")),
        "which is no .safetensors here",
    ),
    "file is a number": (sharded(lambda index, _: put(index, WTE, 3)), "lies in 3"),
    "missing shard": (
        sharded(lambda _, folder: (folder / SHARDS[1]).unlink()),
        "which is not in",
    ),
    "cut shard": (
        sharded(
            lambda _, folder: (folder / SHARDS[0]).write_bytes(
                (folder / SHARDS[0]).read_bytes()[:-9]
            )
        ),
        "00001-of-00002.safetensors is not a complete safetensors file",
    ),
    "tensor in another shard": (
        sharded(
            lambda index, _: put(index, WTE, SHARDS[1 - SHARDS.index(index["weight_map"][WTE])])
        ),
        "and the index differ",
    ),
    "tensor in no shard": (
        sharded(lambda index, _: put(index, "transformer.ghost", SHARDS[0])),
        "transformer.ghost is in one of them alone",
    ),
}
TOKENIZERS = {
    "no tokenizer": (gone("tokenizer.json", "tokenizer_config.json"), "has no tokenizer.json"),
    "no JSON": (written("tokenizer.json", "{"), "no usable tokenizer"),
    "empty": (written("tokenizer.json", ""), "no usable tokenizer"),
    "binary": (written("tokenizer.json", b"\xff\x00"), "no usable tokenizer"),
    "nested": (written("tokenizer.json", DEEP), "no usable tokenizer"),
    "unknown model": (
        written("tokenizer.json", json.dumps({**TOKENIZER, "model": {"type": "Exec"}})),
        "no usable tokenizer",
    ),
    "no tokens": (
        written(
            "tokenizer.json",
            json.dumps(
                {
                    **TOKENIZER,
                    "added_tokens": [],
                    "model": {"type": "WordLevel", "vocab": {}, "unk_token": "x"},
                }
            ),
        ),
        "no usable tokenizer",
    ),
    "regular expression without end": (
        written(
            "tokenizer.json",
            json.dumps(
                {
                    **TOKENIZER,
                    "pre_tokenizer": {
                        "type": "Split",
                        "pattern": {"Regex": "(((("},
                        "behavior": "Isolated",
                        "invert": False,
                    },
                }
            ),
        ),
        "no usable tokenizer",
    ),
    "config is no object": (written("tokenizer_config.json", "3"), "holds a int"),
    "token that is none": (
        written("tokenizer_config.json", '{"eos_token": "<nothing>"}'),
        "eos_token is '<nothing>'",
    ),
    "token is a number": (written("tokenizer_config.json", '{"pad_token": 0}'), "pad_token is 0"),
    "damaged SentencePiece model": (
        both(gone("tokenizer.json"), written("spiece.model", b"\x0a\x03abc")),
        "no usable SentencePiece model",
    ),
}


def spoilt(spoil, sound, tmp_path):
    folder = tmp_path / "gpt2"
    shutil.copytree(sound, folder)
    spoil(folder)
    return folder


@pytest.mark.parametrize("case", WEIGHTS)
def test_of_weights_and_sizes(case, sound, shapes, tmp_path):
    spoil, line = WEIGHTS[case]
    folder = spoilt(spoil, sound, tmp_path)
    with pytest.raises(UserError, match=line) as caught:
        found = read_folder(folder)
        found.bindings()
        require_fit(found.weights, shapes, found.variant)
    assert "\n" not in str(caught.value)
    assert not os.path.exists("/tmp/seqlm-trap")


@pytest.mark.parametrize("case", TOKENIZERS)
def test_of_tokenizers(case, sound, tmp_path):
    spoil, line = TOKENIZERS[case]
    folder, target = spoilt(spoil, sound, tmp_path), tmp_path / "run"
    with pytest.raises(UserError, match=line) as caught:
        copy_tokenizer(folder, target, "gpt2")
        TokenizerVocabulary(target)
        vocabulary_bindings(target, target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "labels", [{"0": "a", "2": "b"}, {"0": "a", "1": "a"}, {"0": 1, "1": 2}, ["a", "b"]]
)
def test_of_labels(labels):
    with pytest.raises(UserError, match="id2label"):
        label_names({"id2label": labels})


def test_a_sound_folder_is_read_whole_or_in_shards(sound, shapes, tmp_path):
    folder = spoilt(sharded(lambda index, folder: None), sound, tmp_path)
    for found in (read_folder(sound), read_folder(folder)):
        require_fit(found.weights, shapes, found.variant)
        assert found.bindings()


def test_the_table_is_long_enough():
    assert len(WEIGHTS) + len(TOKENIZERS) >= 40
