"""A gin file that wants to run something is refused before anything of it is imported."""

import sys
from pathlib import Path

import pytest

from lm import config
from lm.errors import ConfigError
from tests.config.conftest import Load

HEAD = "from __gin__ import dynamic_registration\n"

# What is refused by reading alone: the modules are never imported.
UNREAD = {
    "os": "import os\nX = @os.system()",
    "os by another name": "import os as parts\nX = @parts.system()",
    "from os": "from os import path\nX = @path.join()",
    "subprocess": "import subprocess\nX = @subprocess.run()",
    "builtins": "import builtins\nX = @builtins.exec()",
    "sys": "import sys\nX = @sys.exit()",
    "shutil": "import shutil\nX = @shutil.rmtree()",
    "pickle": "import pickle\nX = @pickle.loads()",
    "importlib": "import importlib\nX = @importlib.import_module()",
    "a module that runs when imported": "import evil",
    "a submodule": "import evil.twin",
    "a lookalike of an own root": "import lmx",
    "keras itself": "import keras\nX = @keras.saving.load_model()",
    "keras.saving": "from keras import saving\nX = @saving.load_model()",
    "keras.utils": "from keras import utils\nX = @utils.get_file()",
    "keras internals": "from keras.src import saving",
    "the command line": "from lm.cli import main\nX = @main.main()",
    "the configuration": "from lm.config import admit\nX = @admit.import_module()",
    "the main module": "import lm.__main__",
    "gin's own name": "import os as gin",
    "gin features": "from __gin__ import everything",
    "without dynamic registration": "X = @os.system()",
    "a walk through an import": "from parts import somewhere\nX = @somewhere.os.system()",
    "an absolute include": "include '/etc/passwd'",
    "an include that climbs": "include '../outside.gin'",
    "an include through a link": "include 'link.gin'",
}
# What is refused once the admitted module is there, because the object is not its own.
WALKS = {
    "a module of an admitted one": "import parts\nX = @parts.os()",
    "two names": "import parts\nX = @parts.os.system()",
    "what it imported": "import parts\nX = @parts.system()",
    "a dunder": "import parts\nX = @parts.__builtins__()",
    "a loader": "import parts\nX = @parts.__loader__()",
    "a bound target": "import parts\nparts.system.command = 'true'",
    "an imported module": "from parts import somewhere",
}
# What the package does for itself, and no gin file may have done.
OWN = {
    "a process": (
        "from lm.reliability import trial\nX = @trial._run()\n"
        "trial._run.command = ['/bin/sh', '-c', 'touch trace']",
        "'_run' in 'lm.reliability.trial._run' is private",
    ),
    "a module by its name": (
        "from lm.bench import peak\nX = @peak._installed()\npeak._installed.name = 'evil'",
        "'_installed' in 'lm.bench.peak._installed' is private",
    ),
    "a module by a flag": (
        "from lm.reliability import trial\nX = @trial.verify_resume()\n"
        "trial.verify_resume.words = ['--gin_modules=evil']",
        "@lm.reliability.trial.verify_resume is a function that is not admitted",
    ),
    "the removal of a folder": (
        "from lm import disk\nfrom lm.checkpoint import store\n"
        "X = @disk.remove()\ndisk.remove.folder = @store.local()\nstore.local.path = 'keep'",
        "@lm.disk.remove is a function that is not admitted: not a part that gin files may name; "
        "lm.disk has none",
    ),
    "a file overwritten": (
        "from lm import disk\nX = @disk.replace()\ndisk.replace.path = 'keep'",
        "@lm.disk.replace is a function that is not admitted",
    ),
    "a private module": ("from lm._hidden import x\nX = @x.y()", "'_hidden' in 'lm._hidden.x'"),
    "a folder made": ("from lm import disk\nX = @disk._beside()", "is private"),
    "a folder tried": (
        "from lm.reliability import doctor\nX = @doctor.writable()",
        "lm.reliability.doctor has none",
    ),
    "an event file": (
        "from lm.train import tensorboard\nX = @tensorboard.EventWriter()",
        "is a class that is not admitted",
    ),
    "a metrics file": (
        "from lm.train import reporter\nX = @reporter.JSONLines",
        "a class that is not",
    ),
    "rows dropped": ("from lm.train import reporter\nX = @reporter.rewind()", "a function that is"),
    "a configuration written": (
        "from lm.train import metadata\nX = @metadata.write_config()",
        "a function that is not",
    ),
    "what was called, written": (
        "from lm.train import metadata\nX = @metadata.write_operative_config()",
        "a function that is not",
    ),
    "a reporter": ("from lm.train import reporter\nX = @reporter.Reporter", "a class that is not"),
    "a training": (
        "from lm import train\nX = @train.train()",
        "@lm.train.train is called by a command; a gin file can only bind its parameters",
    ),
    "a layer called": (
        "from lm.nn import norm\nX = @norm.RMSNorm()",
        "may not be called while the file is read; pass it as @lm.nn.norm.RMSNorm, without ()",
    ),
    "what is no part": (
        "from lm.nn import norm\nX = @norm.RMSNrm",
        "no 'RMSNrm' for @lm.nn.norm.RMSNrm; did you mean 'RMSNorm'?",
    ),
    "a helper": (
        "from lm.nn import masks\nX = @masks.both",
        "not a part that gin files may name; lm.nn.masks has causal, bidirectional",
    ),
    "a singleton": ("X = @gin.singleton()", "no import provides 'gin.singleton'"),
}


def macros(levels: int, width: int) -> str:
    """Returns macros of lists of macros, each `width` times the one below."""
    lines = [f"M{n} = [{', '.join([f'%M{n + 1}'] * width)}]" for n in range(levels)]
    return "\n".join([*lines, f"M{levels} = 1", "import parts", "parts.train.steps = %M0"])


# What would take memory or time without end, with `parts` admitted.
ENDLESS = {
    "macros of macros": (macros(10, 10), "has 1,000,000 values with its macros replaced"),
    "one below the other": (macros(2000, 1), "is nested in 101 others"),
    "a number of 5,000 digits": (f"import parts\nparts.train.steps = {'9' * 5000}", "cannot read"),
    "as many in hexadecimal": (
        f"import parts\nparts.train.steps = 0x{'f' * 5000}",
        "holds an integer of 20000 bits; settings take at most 64",
    ),
    "a long text": (f"import parts\nparts.train.steps = '{'x' * 10**5}'", "takes an integer"),
}
KERAS = {
    "a saved graph": "from keras import layers\nX = @layers.TFSMLayer()",
    "a lambda": "from keras import layers\nX = @layers.Lambda()",
    "a deserialiser": "from keras import layers\nX = @layers.deserialize()",
    "a getter": "from keras import initializers\nX = @initializers.get()",
    "a reader of files": "from keras import layers\nX = @layers.StringLookup()",
}


@pytest.fixture
def trap(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files to lure: modules that leave a trace when imported, gin files outside."""
    inner = workspace / "inner"
    inner.mkdir()
    for name in ("evil", "lmx"):
        (inner / f"{name}.py").write_text("open('trace', 'w')\n")
    (workspace / "outside.gin").write_text("A = 1\n")
    (inner / "link.gin").symlink_to(workspace / "outside.gin")
    (inner / "parts.py").write_text((workspace / "parts.py").read_text())
    monkeypatch.syspath_prepend(inner)
    monkeypatch.chdir(inner)
    return inner


def refused(text: str, trap: Path, modules: list[str]) -> str:
    """Loads the text, which must be refused, and returns why."""
    (trap / "run.gin").write_text(HEAD * ("without" not in text) + text + "\n")
    before = set(sys.modules)
    with pytest.raises(ConfigError) as error:
        config.load(["run.gin"], modules=modules)
    assert not (trap / "trace").exists()
    fresh = {name.split(".")[0] for name in set(sys.modules) - before}
    assert not fresh & {"evil", "lmx", "shutil", "subprocess"}
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", UNREAD)
def test_refused_by_reading(name: str, trap: Path) -> None:
    assert "run.gin:" in refused(UNREAD[name], trap, [])
    assert "parts" not in sys.modules


@pytest.mark.parametrize("name", WALKS)
def test_refused_in_an_admitted_module(name: str, trap: Path) -> None:
    assert "run.gin:" in refused(WALKS[name], trap, ["parts"])


@pytest.mark.parametrize("name", OWN)
def test_refused_in_the_package(name: str, workspace: Path) -> None:
    (workspace / "keep").mkdir()
    (workspace / "evil.py").write_text("open('trace', 'w')\n")
    text, said = OWN[name]
    (workspace / "run.gin").write_text(f"{HEAD}{text}\n")
    with pytest.raises(ConfigError) as error:
        config.load(["run.gin"])
    message = str(error.value)
    assert message.startswith("run.gin:") and said in message and "\n" not in message
    assert (workspace / "keep").is_dir() and not (workspace / "trace").exists()


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_values_are_refused_at_once(name: str, load: Load) -> None:
    text, said = ENDLESS[name]
    with pytest.raises(ConfigError) as error:
        load(f"{HEAD}{text}\n")
    message = str(error.value)
    assert message.startswith("run.gin:") and said in message and "\n" not in message
    assert len(message) < 300


@pytest.mark.slow
@pytest.mark.parametrize("name", KERAS)
def test_refused_in_keras(name: str, trap: Path) -> None:
    assert "not admitted" in refused(KERAS[name], trap, [])


def test_an_own_module_is_admitted_by_the_flag_alone(load: Load) -> None:
    text = f"{HEAD}import parts\nparts.train.steps = 3\n"
    with pytest.raises(ConfigError, match="add --gin_modules=parts"):
        load(text, modules=[])
    assert load(text).configured("parts.train")() == (None, 3, ())


def test_a_search_path_admits_its_includes(load: Load, workspace: Path) -> None:
    folder = workspace.parent / f"{workspace.name}-elsewhere"
    folder.mkdir()
    (folder / "more.gin").write_text("STEPS = 4\n")
    text = f"{HEAD}import parts\nparts.train.steps = %STEPS\ninclude '{folder}/more.gin'\n"
    with pytest.raises(ConfigError, match="outside the search folders"):
        load(text)
    loaded = load(text, search_paths=[str(folder)])
    assert loaded.value("STEPS") == 4
