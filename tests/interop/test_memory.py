"""What import and export hold in memory beside the model, in processes of their own."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.interop import golden_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc"),
]
MIB = 2**20
SMALL = 16  # MiB, of what Python keeps
CODE = {"tensorflow": 32, "jax": 192}  # MiB, of kernels and what is compiled
SIZES = {"vocab_size": 8192, "n_positions": 64, "n_embd": 512, "n_layer": 4, "n_head": 4}
MEASURED = """
import sys, threading, time
import keras, numpy as np
from lm.interop.export_folder import export_folder
from lm.interop.import_folder import import_folder

def own():  # KiB that are no mapped file
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

def watch():
    while True:
        seen.append(own())
        time.sleep(0.002)

keras.layers.Dense(2)(np.zeros((1, 2)))
start, seen = own(), []
threading.Thread(target=watch, daemon=True).start()
verb, source, target, *dtype = sys.argv[1:]
if verb == "import":
    import_folder(source, target)
else:
    export_folder(source, target, dtype=dtype[0])
print((max(seen) - start) / 1024)
"""


def weights():
    """A GPT-2 of 17M weights, its second file most of them."""
    noise, width = np.random.default_rng(0), SIZES["n_embd"]
    shapes = {"wte.weight": (SIZES["vocab_size"], width), "wpe.weight": (64, width)}
    for i in range(SIZES["n_layer"]):
        for name, (into, out) in {
            "attn.c_attn": (width, 3 * width),
            "attn.c_proj": (width, width),
            "mlp.c_fc": (width, 4 * width),
            "mlp.c_proj": (4 * width, width),
        }.items():
            shapes |= {f"h.{i}.{name}.weight": (into, out), f"h.{i}.{name}.bias": (out,)}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"h.{i}.{name}.{kind}": (width,) for kind in ("weight", "bias")}
    shapes |= {"ln_f.weight": (width,), "ln_f.bias": (width,)}
    return {
        f"transformer.{name}": noise.normal(0, 0.02, shape).astype("float32")
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Its folder, in two files."""
    folder, found = tmp_path_factory.mktemp("memory") / "source", weights()
    golden_folder.write("gpt2", folder)
    (folder / "model.safetensors").unlink()
    files = {name: f"model-{1 + ('.h.' in name)}.safetensors" for name in found}
    for file in set(files.values()):
        save_file({n: x for n, x in found.items() if files[n] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))
    named = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    golden_folder.write_config(folder, {**named, **SIZES})
    return folder


def measured(*arguments):
    """Returns by how many MiB a process grew at most."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return float(done.stdout.splitlines()[-1])


def test_neither_import_nor_export_holds_a_model(source, tmp_path):
    total = sum(x.nbytes for x in weights().values()) / MIB
    largest = max(x.nbytes for x in weights().values()) / MIB
    assert measured("import", source, tmp_path / "run") < largest + SMALL
    most = total + CODE[keras.backend.backend()]
    for dtype in ("float32", "bfloat16"):
        assert measured("export", tmp_path / "run", tmp_path / dtype, dtype) < most
