"""Packaging of seqlm: the packages `lm` and `tasks`, with the gin files and tokenizers as data."""

import ast
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
DATA_FOLDERS = ("gin", "tokenizers")

# `t5` requires `seqio-nightly` and `tfds-nightly`. `seqio` must not be installed with the former:
# both own the folder `seqio` and overwrite each other.
INSTALL = [
    "babel>=2.14",
    "gin-config>=0.5",
    "jax>=0.5",
    "keras>=3.15",
    "matplotlib>=3.8",
    "numba>=0.63",
    "numpy>=1.26",
    "rouge-score>=0.1.2",
    "sacrebleu>=2.4",
    "safetensors>=0.5",
    "sentencepiece>=0.2.1",
    "t5>=0.9.4",
    "tensorflow>=2.21",
    "tensorflow-text>=2.21",
    "tokenizers>=0.22",
    "tqdm>=4.66",
]

ONNX = ["onnx>=1.19", "onnxruntime>=1.23", "tf2onnx>=1.17"]

EXTRAS = {
    "test": [
        *ONNX,
        "hypothesis>=6.100",
        "import-linter>=2.0",
        "mypy>=1.10",
        "pytest>=8.3",
        "pytest-xdist>=3.6",
        "ruff>=0.9",
    ],
    "docs": ["pdoc>=15"],
    "eval": ["lm_eval>=0.4.13"],
    "onnx": ONNX,
    "parity": ["ctranslate2>=4.5", "torch==2.13.0", "transformers>=4.50"],
    "jax-gpu": ["jax[cuda12]"],
    "jax-tpu": ["jax[tpu]"],
}


def version() -> str:
    """Read `__version__` from `lm/__init__.py` without importing it."""
    for node in ast.parse((ROOT / "lm" / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return ast.literal_eval(node.value)
    raise RuntimeError("lm/__init__.py does not assign __version__")


class BuildWithData(build_py):
    """Copy `gin/` and `tokenizers/` into the built package `lm`.

    They are not packages (an `__init__.py` in them would shadow the installed `gin` and
    `tokenizers`), so neither `packages` nor `package_data` includes them. An editable install
    reads them from the checkout.
    """

    def run(self) -> None:
        """Build, then copy the data folders."""
        super().run()
        if self.editable_mode:
            return
        for name in DATA_FOLDERS:
            target = Path(self.build_lib) / "lm" / name
            shutil.rmtree(target, ignore_errors=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target)


setup(
    name="seqlm",
    version=version(),
    description="Train, decode and compare sequence models from gin files, on TensorFlow or JAX",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["lm", "lm.*", "tasks", "tasks.*"]),
    package_data={
        "lm": ["py.typed", "inference/harness.yaml"],
        "tasks": ["py.typed", "index.tsv", "flan/sets/*.toml"],
    },
    python_requires=">=3.11,<3.14",
    install_requires=INSTALL,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["lm = lm.cli.main:main"]},
    cmdclass={"build_py": BuildWithData},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    zip_safe=False,
)
