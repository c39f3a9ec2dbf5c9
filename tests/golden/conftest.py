"""The reference module needs torch: it is imported by `make golden` and by `make parity` alone."""

collect_ignore = ["huggingface.py", "folders.py"]
