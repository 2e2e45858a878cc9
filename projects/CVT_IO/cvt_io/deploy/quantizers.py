"""The quantisers of ONNX Runtime and OpenVINO (NNCF)."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .extras import DeployError, require
from .runtimes import openvino_core

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

#: Writes the graph to a file, with the named nodes quantised.
Writer = Callable[[Collection[str], Path], None]
Frames = Sequence[Mapping[str, np.ndarray]]
_LARGE = 512
_INT8_TABLE = 16384
_INT8_VALUES, _FP16_VALUES = 8, 64


def compact(proto: ModelProto) -> None:
    """Prepares a graph for quantisation, in place.

    Transposed weights become constants, as the quantisers expect. Other large constants are stored in a smaller type:
    without loss if possible, otherwise numbers up to 64 in fp16 and large tables of numbers up to 8, such as learned
    positions, in int8. Coordinates in pixels stay as they are.

    Raises:
        DeployError: the graph is quantised already.
    """
    helper, numpy_helper = require('onnx').helper, require('onnx').numpy_helper
    graph = proto.graph
    if any(node.op_type in ('QuantizeLinear', 'DequantizeLinear') for node in graph.node):
        raise DeployError('expected a graph in floating point, found a quantised one')
    _fold_transposes(graph, helper, numpy_helper)
    weights = {name for node in graph.node if node.op_type in ('Conv', 'MatMul') for name in node.input[1:]}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in weights]:
        array = numpy_helper.to_array(tensor)
        small, scale = _smaller(array) if array.size >= _LARGE else (array, None)
        if small.dtype == array.dtype:
            continue
        name, stored = tensor.name, f'{tensor.name}.stored'
        tensor.CopyFrom(numpy_helper.from_array(small, stored))
        if scale is None:
            to = helper.np_dtype_to_tensor_dtype(array.dtype)
            node = helper.make_node('Cast', [stored], [name], f'{name}.cast', to=to)
        else:
            graph.initializer.append(numpy_helper.from_array(scale, f'{name}.scale'))
            node = helper.make_node('DequantizeLinear', [stored, f'{name}.scale'], [name], f'{name}.dequantised')
        graph.node.insert(0, node)


def _fold_transposes(graph: GraphProto, helper: Any, numpy_helper: Any) -> None:
    """Replaces transposed constants by constants; those transposed several times stay one."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    names = {}
    for node in [node for node in graph.node if node.op_type == 'Transpose' and node.input[0] in tensors]:
        permutation = helper.get_node_attr_value(node, 'perm')
        name = names[node.output[0]] = f'{node.input[0]}.{"".join(map(str, permutation))}'
        if name not in tensors:
            array = numpy_helper.to_array(tensors[node.input[0]]).transpose(permutation)
            tensors[name] = numpy_helper.from_array(array.copy(), name)
        graph.node.remove(node)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for name, tensor in tensors.items() if name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _smaller(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The same numbers in the smallest type, and the scale of int8."""
    is_float = array.dtype == np.float32
    with np.errstate(all='ignore'):
        for dtype in (np.uint8, np.uint16, np.float16 if is_float else np.int32):
            if np.array_equal(array.astype(dtype).astype(array.dtype), array):
                return array.astype(dtype), None
    largest = np.abs(array).max()
    if not is_float or not largest <= _FP16_VALUES:
        return array, None
    if array.size < _INT8_TABLE or largest > _INT8_VALUES:
        return array.astype(np.float16), None
    scale = np.float32(largest / 127)
    return np.rint(array / scale).astype(np.int8), np.asarray(scale)


def onnxruntime_writer(
    proto: ModelProto, frames: Frames, metadata: Mapping[str, str], nodes: Collection[str]
) -> Writer:
    """Quantises for ONNX Runtime: explicit QuantizeLinear/DequantizeLinear pairs, int8 weights per channel.

    Args:
        proto: the graph after :func:`compact`.
        frames: inputs, of which the ranges of the activations are taken.
        metadata: of the file.
        nodes: all nodes that may be quantised.
    """
    require('onnxruntime')
    tools, qdq = require('onnxruntime.quantization'), require('onnxruntime.quantization.qdq_quantizer')
    onnx = require('onnx')
    types = ['Conv', 'MatMul', *_ELEMENTWISE]
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(proto, path := Path(folder) / 'graph.onnx')
        calibrator = tools.create_calibrator(path, types, str(path.with_name('augmented.onnx')))
        calibrator.collect_data(_reader(tools, frames))
        ranges = calibrator.compute_data()

    def write(nodes: Collection[str], path: Path) -> None:
        shapes = onnx.shape_inference.infer_shapes(proto)
        shapes.metadata_props.add(key='onnx.infer', value='onnxruntime.quant')  # as its own loader marks it
        signed, unsigned = tools.QuantType.QInt8, tools.QuantType.QUInt8
        chosen = [*nodes, *_between(proto, nodes)]
        quantizer = qdq.QDQQuantizer(shapes, True, False, signed, unsigned, ranges, chosen, [], types, {})
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        found = quantizer.model.model
        del found.graph.value_info[:]
        onnx.helper.set_model_props(found, dict(metadata))
        path.write_bytes(found.SerializeToString(deterministic=True))

    return write


#: Without these between two convolutions in eight bits, ONNX Runtime would convert to fp32 and back.
_ELEMENTWISE = ('Sigmoid', 'Mul', 'Add', 'Relu')


def _between(proto: ModelProto, nodes: Collection[str]) -> list[str]:
    """Activations, gates and residual sums whose inputs all come from quantised convolutions."""
    quantised: set[str] = set()
    found = []
    for node in proto.graph.node:
        if node.op_type == 'Conv' and node.name in nodes:
            quantised.update(node.output)
        elif node.op_type in _ELEMENTWISE and quantised.issuperset(node.input):
            quantised.update(node.output)
            found.append(node.name)
    return found


def _reader(tools: Any, frames: Frames) -> Any:
    class Reader(tools.CalibrationDataReader):
        def __init__(self) -> None:
            self.frames = map(dict, frames)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.frames, None)

    return Reader()


def openvino_writer(proto: ModelProto, frames: Frames, metadata: Mapping[str, str], nodes: Collection[str]) -> Writer:
    """Quantises for OpenVINO with NNCF; writes ``.xml`` and ``.bin``. Arguments: see :func:`onnxruntime_writer`."""
    os.environ.setdefault('NNCF_CI', '1')  # NNCF would otherwise send statistics of use
    openvino, nncf = require('openvino'), require('nncf')
    nncf.set_log_level(logging.ERROR)
    model = openvino_core().read_model(proto.SerializeToString())
    others = [node.get_friendly_name() for node in model.get_ops() if _name(node) not in nodes]
    for node in model.get_ops():  # NNCF stores only weights that are constants as int8
        weight = node.input_value(1).get_node() if node.get_type_name() == 'GroupConvolution' else None
        if weight is not None and weight.get_type_name() == 'Reshape':
            array = weight.input_value(0).get_node().data.reshape(weight.get_output_shape(0))
            node.input(1).replace_source_output(
                openvino.opset13.constant(array, name=weight.get_friendly_name()).output(0)
            )
    original = model.clone()
    weights = {_name(node): node.input_value(1) for node in original.get_ops() if _name(node) in nodes}
    with contextlib.redirect_stdout(io.StringIO()):  # its progress bars
        quantised = nncf.quantize(
            model,
            nncf.Dataset(frames, dict),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(frames),
            ignored_scope=nncf.IgnoredScope(names=others, validate=False),
            # The corrected biases would be wrong for layers that :func:`write` leaves in floating point.
            advanced_parameters=nncf.AdvancedQuantizationParameters(disable_bias_correction=True),
        )
    for key, value in metadata.items():
        quantised.set_rt_info(value, ['framework', key])

    def write(nodes: Collection[str], path: Path) -> None:
        graph = quantised.clone()
        for node in graph.get_ops():
            name = _name(node)
            if name in nodes:
                continue
            for value in node.inputs():
                source = value.get_source_output().get_node()
                if source.get_type_name() == 'FakeQuantize':
                    value.replace_source_output(source.input_value(0))
            if name in weights:
                node.input(1).replace_source_output(weights[name])
        openvino.save_model(graph, path, compress_to_fp16=False)
        path.write_text(_without_shapes(path.read_text()))

    return write


def _name(node: Any) -> str:
    """Name of a convolution or matrix product in the ONNX graph; empty for other operators."""
    if node.get_type_name() not in ('Convolution', 'GroupConvolution', 'MatMul'):
        return ''
    # OpenVINO gives the name of a convolution to the sum with its bias.
    return node.get_friendly_name().removesuffix('/WithoutBiases')


def _without_shapes(xml: str) -> str:
    """Without blanks and inferred shapes, which are half of the text; OpenVINO infers them again."""
    head, layers = re.sub(r'>\s+<', '><', xml).split('<layers>')
    return f'{head}<layers>' + re.sub(r'<dim>-?\d+</dim>', '', layers)
