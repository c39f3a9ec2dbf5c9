"""python_all: a mixture of `python_docs` and `python_code`, as an example of rates.

The rate of a task grows with the number of its documents, capped at 300 and flattened by a
temperature of 2: r = min(documents, 300)^(1/2). A mixture can be used wherever a task can.
"""

from functools import partial

import seqio

from tasks import python_code, python_docs

seqio.MixtureRegistry.add(
    "python_all",
    [python_docs.TASK.name, python_code.TASK.name],
    default_rate=partial(seqio.mixing_rate_num_examples, maximum=300, temperature=2.0),
)
