"""Loops compiled by Numba, with two things that Numba lacks: prefetching, uncounted references.

Numba counts references with an atomic operation whenever an array is passed on or taken from a
tuple. In a loop over rows of a hundred numbers that takes longer than the work itself. So
functions that take tuples of arrays are inlined, and the outermost one is `uncounted`.
"""

import functools
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.types.containers import BaseTuple
from numba.extending import intrinsic

compiled = functools.partial(numba.njit, cache=True, nogil=True, error_model="numpy")
inlined = functools.partial(compiled, inline="always")

ZERO, ONE = np.float32(0), np.float32(1)  # Python's own numbers would widen sums to float64
LINE = 16  # float32 numbers in a cache line
_INT, _BYTES = ir.IntType(32), ir.IntType(8).as_pointer()
_FOR_WRITING, _KEEP, _DATA = (ir.Constant(_INT, x) for x in (1, 3, 1))


@inlined()
def prefetch(table: Any, row: int) -> None:
    """Prefetches a row of a float32 table [N, D]; affects only speed."""
    for column in range(0, table.shape[1], LINE):
        _prefetch_line(table, row, column)


@intrinsic
def _prefetch_line(typing_context: Any, table: Any, row: Any, column: Any) -> Any:
    """LLVM's `prefetch` of the cache line that holds a number."""
    del typing_context

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, given[0])
        pointer = cgutils.get_item_pointer(
            context, builder, signature.args[0], array, list(given[1:]), wraparound=False
        )
        taken = ir.FunctionType(ir.VoidType(), [_BYTES, _INT, _INT, _INT])
        function = cgutils.get_or_insert_function(builder.module, taken, "llvm.prefetch.p0")
        address = builder.bitcast(pointer, _BYTES)
        builder.call(function, [address, _FOR_WRITING, _KEEP, _DATA])
        return context.get_dummy_value()

    return types.void(table, types.intp, types.intp), code


@intrinsic
def uncounted(typing_context: Any, given: Any) -> Any:
    """Returns an array, or a tuple of arrays, without reference counting.

    The caller must keep the arrays alive while they are used.
    """
    del typing_context

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _without_owner(context, builder, signature.args[0], values[0])

    return given(given), code


def _without_owner(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Returns a value whose arrays do not refer to the owner of their memory."""
    if isinstance(kind, BaseTuple):
        parts = [
            _without_owner(context, builder, part, builder.extract_value(value, number))
            for number, part in enumerate(kind)
        ]
        return context.make_tuple(builder, kind, parts)
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    return value
