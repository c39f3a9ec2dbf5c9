"""Registers the model `seqlm` with lm-evaluation-harness on import; used by `harness.yaml`."""

from lm.inference.harness import SeqLM, register

model = SeqLM
register()
