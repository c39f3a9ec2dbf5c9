"""Importing it gives lm-evaluation-harness the model `seqlm`; `harness.yaml` names it."""

from lm.inference.harness import SeqLM, register

model = SeqLM
register()
