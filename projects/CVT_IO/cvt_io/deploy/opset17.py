"""Opset 17, which PyTorch's exporter cannot write: graphs of opset 18 in the operators' older forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .extras import DeployError, require

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

#: What opset 18 changed. ``ReduceSum`` has had its axes as an input since opset 13.
_REDUCED = ('L1', 'L2', 'LogSum', 'LogSumExp', 'Max', 'Mean', 'Min', 'Prod', 'SumSquare')
REDUCTIONS = tuple(f'Reduce{name}' for name in _REDUCED)
CHANGED = (*REDUCTIONS, 'Pad', 'Resize', 'ScatterElements', 'ScatterND', 'Split')
_PAD_INPUTS = 3  # without axes
_IR_VERSION = 8  # that of ONNX releases with opset 17


def to_opset17(proto: ModelProto) -> None:
    """Rewrites a graph of opset 18 in place: axes of reductions become attributes, attributes without effect go.

    Raises:
        DeployError: an operator uses something that opset 17 does not have.
    """
    onnx = require('onnx')
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if onnx.defs.get_schema(node.op_type, 18, '').since_version < 18:
            continue
        if node.op_type not in CHANGED:
            raise _error(node, 'the operator is of opset 18')
        if node.op_type in REDUCTIONS and len(node.input) > 1:
            if node.input[1] not in constants:
                raise _error(node, 'the axes are not constant')
            axes = onnx.numpy_helper.to_array(constants[node.input[1]]).tolist()
            del node.input[1:]
            node.attribute.append(onnx.helper.make_attribute('axes', axes))
        if node.op_type == 'Pad' and len(node.input) > _PAD_INPUTS:
            raise _error(node, 'axes are of opset 18')
        _drop_attributes(node, onnx.defs.get_schema(node.op_type, 17, '').attributes)
    used = {name for node in proto.graph.node for name in node.input}
    kept = [tensor for tensor in proto.graph.initializer if tensor.name in used]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    proto.opset_import[0].version = 17
    proto.ir_version = _IR_VERSION


def _drop_attributes(node: NodeProto, known: dict) -> None:
    """Removes attributes that opset 17 does not know; their values must be those of its behaviour."""
    helper = require('onnx').helper
    neutral = dict(
        noop_with_empty_axes=0, antialias=0, keep_aspect_ratio_policy=b'stretch', num_outputs=len(node.output)
    )
    for attribute in [*node.attribute]:
        value = helper.get_attribute_value(attribute)
        if attribute.name not in known and value == neutral.get(attribute.name):
            node.attribute.remove(attribute)
        elif attribute.name not in known or (attribute.name == 'reduction' and value in (b'max', b'min')):
            raise _error(node, f'{attribute.name}={value} is of opset 18')


def _error(node: NodeProto, reason: str) -> DeployError:
    return DeployError(f'opset 17: {node.op_type}: {reason}; use opset 18 or above')
