"""Single operators of opset 18 in their older forms, run by ONNX Runtime in both."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from projects.CVT_IO.cvt_io.deploy.extras import DeployError
from projects.CVT_IO.cvt_io.deploy.opset17 import REDUCTIONS, to_opset17


def graph(
    operator: str, *inputs: str, outputs: int = 1, dtype: int = TensorProto.FLOAT, **attributes
) -> onnx.ModelProto:
    """One node on x (2, 4, 6), with constants, and y as a second input of the graph."""
    names = [f'out{index}' for index in range(outputs)]
    x = helper.make_tensor_value_info('x', dtype, [2, 4, 6])
    y = helper.make_tensor_value_info('y', TensorProto.INT64, [1])
    constants = [
        helper.make_tensor('axes', TensorProto.INT64, [2], [-1, 0]),
        helper.make_tensor('pads', TensorProto.INT64, [6], [0, 1, 2, 0, 0, 1]),
        helper.make_tensor('sizes', TensorProto.INT64, [3], [2, 8, 3]),
    ]
    node = helper.make_node(operator, ['x', *inputs], names, **attributes)
    results = [helper.make_tensor_value_info(name, dtype, None) for name in names]
    content = helper.make_graph([node], 'one', [x, y], results, constants)
    return helper.make_model(content, opset_imports=[helper.make_opsetid('', 18)], ir_version=10)


def run(proto: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=['CPUExecutionProvider'])
    x = np.random.default_rng(0).uniform(1, 2, (2, 4, 6)).astype(np.float32)
    return session.run(None, dict(x=x, y=np.array([1])))


@pytest.mark.parametrize(
    'proto',
    [
        *(graph(name, 'axes', keepdims=0, noop_with_empty_axes=0) for name in REDUCTIONS),
        graph('ReduceMax', keepdims=1),
        graph('Pad', 'pads', mode='reflect'),
        graph('Split', axis=2, num_outputs=3, outputs=3),
        graph('Resize', '', '', 'sizes', mode='linear', antialias=0, keep_aspect_ratio_policy='stretch'),
    ],
    ids=lambda proto: proto.graph.node[0].op_type,
)
def test_same_values(proto):
    expected = run(proto)
    to_opset17(proto)
    assert (proto.opset_import[0].version, proto.ir_version) == (17, 8)
    assert [tensor.name for tensor in proto.graph.initializer] == [*{'pads', 'sizes'} & {*proto.graph.node[0].input}]
    for found, value in zip(run(proto), expected, strict=True):
        np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize(
    ('proto', 'message'),
    [
        (graph('BitwiseNot', dtype=TensorProto.INT32), 'BitwiseNot: the operator is of opset 18'),
        (graph('ReduceMean', 'y'), 'ReduceMean: the axes are not constant'),
        (graph('ReduceMean', noop_with_empty_axes=1), 'ReduceMean: noop_with_empty_axes=1 is of opset 18'),
        (graph('Resize', '', '', 'sizes', mode='linear', antialias=1), 'Resize: antialias=1 is of opset 18'),
        (graph('Pad', 'pads', '', 'axes'), 'Pad: axes are of opset 18'),
        (graph('ScatterND', 'y', 'x', reduction='max'), "ScatterND: reduction=b'max' is of opset 18"),
        (graph('Split', num_outputs=2, outputs=1), 'Split: num_outputs=2 is of opset 18'),
    ],
)
def test_what_opset_17_has_not(proto, message):
    with pytest.raises(DeployError, match=f'opset 17: {message}; use opset 18 or above'):
        to_opset17(proto)
