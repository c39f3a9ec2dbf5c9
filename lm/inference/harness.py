"""A run as a model of lm-evaluation-harness, `lm_eval --model seqlm --model_args workdir=RUN`.

Needs the extra `eval`. The harness cannot discover models of other packages, but imports functions
named in task files: `harness.yaml` beside this module uses that. `lm harness` does not need it.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from lm.inference.run import load
from lm.inference.zero_shot.respondent import Request, Respondent

NAME = "seqlm"


class SeqLM(LM):
    """The harness's model interface, answered by the same `Respondent` as our own suites.

    Args:
        workdir: the run folder.
        checkpoint: `latest`, `best` or a step.
        batch_size: texts in a batch; "auto" is 16.
        max_batch_size: ignored.
        device: ignored; the engine uses the devices it finds.
    """

    def __init__(
        self,
        workdir: str,
        checkpoint: str | int = "latest",
        batch_size: str | int = "auto",
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__()
        del max_batch_size, device
        size = 16 if str(batch_size).startswith("auto") else int(batch_size)
        self.trained = load(workdir, checkpoint).trained
        self.respondent = Respondent(trained=self.trained, batch_size=size)

    @property
    def tokenizer_name(self) -> str:
        """Type and hash of the vocabulary."""
        return str(self.trained.metadata.get("tokenizer"))

    def get_model_info(self) -> dict[str, Any]:
        """Returns checkpoint, tokenizer and configuration, to be stored with the results."""
        return {"model_kind": self.trained.kind, **self.trained.metadata}

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Returns for each continuation its log-likelihood and whether it is the greedy one."""
        found = self.respondent.log_likelihoods([Request(*one.args) for one in requests])
        answers = [(one.value, bool(one.is_greedy)) for one in found]
        self._cache("loglikelihood", requests, answers)
        return answers

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """Returns the log-likelihood of each text, read in windows."""
        answers = self.respondent.rolling([one.args[0] for one in requests])
        self._cache("loglikelihood_rolling", requests, answers)
        return answers

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Returns a text for each prompt; requests with the same settings share batches."""
        alike: dict[str, list[int]] = defaultdict(list)
        for number, one in enumerate(requests):
            alike[json.dumps(one.args[1], sort_keys=True, default=str)].append(number)
        answers = [""] * len(requests)
        for numbers in alike.values():
            settings = requests[numbers[0]].args[1]
            prompts = [requests[number].args[0] for number in numbers]
            found = self.respondent.generate(prompts, stop=stops(settings), **sampling(settings))
            for number, text in zip(numbers, found.texts, strict=True):
                answers[number] = text
        self._cache("generate_until", requests, answers)
        return answers

    def _cache(self, method: str, requests: Sequence[Instance], answers: Sequence[Any]) -> None:
        """Passes answers to the harness's cache, if `--use_cache` is given."""
        for one, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(method, one.args, answer)


def stops(settings: Mapping[str, Any]) -> list[str]:
    """Returns the texts that end a generation."""
    until = settings.get("until") or []
    return [until] if isinstance(until, str) else list(until)


def sampling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Converts the harness's generation settings to those of `lm.inference.generate.generate`.

    Greedy, unless `do_sample` or a temperature is set.
    """
    given: dict[str, Any] = {"max_new_tokens": int(settings.get("max_gen_toks", 256))}
    temperature = float(settings.get("temperature") or 0.0)
    if not settings.get("do_sample", temperature > 0):
        return given
    names = [name for name in ("top_k", "top_p") if settings.get(name)]
    return given | {"temperature": temperature or 1.0} | {name: settings[name] for name in names}


def register() -> None:
    """Adds the name `seqlm` to the models of the harness."""
    from lm_eval.api.registry import model_registry

    if NAME not in model_registry:
        model_registry.register(NAME, target=f"{__name__}:{SeqLM.__name__}")
