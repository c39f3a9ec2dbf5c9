"""docs_and_novels: a mixture of `python_docs` and `novels_dev_passages` in equal parts.

Two kinds of English, technical and literary, small enough to compare architectures on a laptop in
minutes.
"""

import seqio

from tasks import novels_dev, python_docs  # noqa: F401

seqio.MixtureRegistry.add(
    "docs_and_novels", ["python_docs", "novels_dev_passages"], default_rate=1.0
)
