"""The operations that the graph of a `.pt2` file may use: arithmetic on tensors, nothing else."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch

OPERATIONS = frozenset(
    """
    _adaptive_avg_pool2d _assert_scalar _assert_tensor_metadata _log_softmax
    _native_batch_norm_legit_no_training _softmax _to_copy _unsafe_view _upsample_bicubic2d_aa
    _upsample_bilinear2d_aa abs adaptive_avg_pool2d adaptive_max_pool2d add add_ addcmul addmm alias
    all amax amin any arange argmax avg_pool2d baddbmm batch_norm bitwise_and bitwise_not bmm cat
    ceil celu channel_shuffle chunk clamp clamp_ clamp_max clamp_min clone col2im constant_pad_nd
    contiguous conv2d conv_transpose2d convolution copy_ cos cumsum detach detach_ div div_ dropout
    dropout_ einsum elu elu_ empty eq erf exp expand expand_as feature_dropout feature_dropout_
    fill_ flatten flip floor floor_divide full full_like gather ge gelu gelu_ grid_sampler
    group_norm gt hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ im2col index
    index_select instance_norm isfinite layer_norm le leaky_relu leaky_relu_ lerp lift_fresh_copy
    linalg_vector_norm linear linspace log log_sigmoid log_softmax logical_and logical_not
    logical_or logit logsumexp lt masked_fill masked_fill_ matmul max_pool2d max_pool2d_with_indices
    maximum mean meshgrid minimum mish mish_ mm movedim mul mul_ narrow native_dropout
    native_group_norm native_layer_norm ne neg new_empty new_full new_ones new_zeros numpy_T ones
    ones_like pad permute pixel_shuffle pixel_unshuffle pow prelu prod reciprocal reflection_pad2d
    relu relu6 relu_ remainder repeat replication_pad2d reshape roll round rsqrt rsub scalar_tensor
    scaled_dot_product_attention select sigmoid sigmoid_ sign silu silu_ sin slice softmax softplus
    split split_with_sizes sqrt square squeeze stack std sub sub_ sum sym_constrain_range
    sym_constrain_range_for_size sym_numel sym_size t tanh tanh_ to transpose tril triu trunc
    type_as unbind unflatten unfold unsqueeze upsample_bicubic2d upsample_bilinear2d
    upsample_nearest2d var var_mean view where zero_ zeros zeros_like
    """.split()  # noqa: SIM905 - two hundred lines otherwise
)
"""Those of `torch.ops.aten`. Others there open files, or take memory as it is."""

EMPTY = ("aten::empty", "aten::new_empty")
"""Here filled with zeros: a file is not to see what was in the memory before."""

SIZES = ("add", "and_", "eq", "floordiv", "ge", "gt", "le", "lt", "mod", "mul", "ne", "neg", "not_",
         "or_", "pow", "sub", "truediv")  # fmt: skip

NUMBERS: dict[str, Callable[..., Any]] = {
    **{f"_operator.{name}": getattr(operator, name) for name in SIZES},
    **{f"math.{name}": getattr(math, name) for name in ("ceil", "floor", "trunc")},
    "torch.sym_max": max,
    "torch.sym_min": min,
    "torch.sym_int": int,
    "torch.sym_float": float,
    "torch.sym_not": operator.not_,
}
"""Operations on sizes."""


def find_operation(target: str) -> Callable[..., Any]:
    """The operation of a name like `torch.ops.aten.conv2d.default`.

    Raises:
        ValueError: it is none that a model may use.
    """
    if target in NUMBERS:
        return NUMBERS[target]
    match = re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target)
    if match is None or match[1] not in OPERATIONS:
        raise ValueError(f"it uses {target}, which geounet does not run from a file")
    overload = getattr(getattr(torch.ops.aten, match[1]), match[2])
    if not isinstance(overload, torch._ops.OpOverload):
        raise ValueError(f"it uses {target}, which this torch does not have")
    return overload


def call_operation(run: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """By position as far as the operation has them in this order, the rest by name."""
    if not isinstance(run, torch._ops.OpOverload):
        return run(*arguments.values())
    positional, named, is_gap = [], {}, False
    for one in run._schema.arguments:
        is_gap |= one.name not in arguments
        if one.name not in arguments:
            continue
        if is_gap or one.kwarg_only:
            named[one.name] = arguments[one.name]
        else:
            positional.append(arguments[one.name])
    result = run(*positional, **named)
    return result.zero_() if run._schema.name in EMPTY else result
