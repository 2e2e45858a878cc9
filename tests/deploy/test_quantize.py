"""Quantised graphs of a tiny model: what is quantised, what is not, and how the parts are chosen."""

from __future__ import annotations

import math
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from projects.CVT_IO.cvt_io.deploy import quantize, runtimes
from projects.CVT_IO.cvt_io.deploy.extras import DeployError
from projects.CVT_IO.cvt_io.deploy.graph import GraphOptions
from projects.CVT_IO.cvt_io.deploy.info import GraphInfo
from projects.CVT_IO.cvt_io.deploy.onnx_export import export_onnx
from projects.CVT_IO.cvt_io.deploy.quantizers import compact, onnxruntime_writer, openvino_writer
from projects.CVT_IO.cvt_io.deploy.runtimes import openvino_core
from projects.CVT_IO.cvt_io.deploy.verify import graph_inputs
from projects.CVT_IO.cvt_io.runtime.batches import random_batch
from projects.CVT_IO.cvt_io.runtime.config import build_model
from tests.deploy.exported import tiny_checkpoint, tiny_v3_config

EXACT = {'Softmax', 'LayerNormalization', 'ReduceL2', 'Gather', 'NonZero', 'Floor', 'Div', 'Exp', 'Log'}
WRITERS = {'.onnx': onnxruntime_writer, '.xml': openvino_writer}


@pytest.fixture(scope='module')
def graph(tmp_path_factory) -> bytes:
    cfg = tiny_v3_config()
    checkpoint = tiny_checkpoint(cfg, tmp_path_factory.mktemp('quantize') / 'tiny.pth')
    return export_onnx(cfg, checkpoint, GraphOptions(whole_batch=True))


@pytest.fixture(scope='module')
def frames():
    cfg = tiny_v3_config()
    model = build_model(cfg)
    return [graph_inputs(model, random_batch(cfg, 1, seed=seed), uint8=False) for seed in range(3)]


@pytest.fixture(scope='module')
def quantised(graph, frames, tmp_path_factory):
    """By ending: the file, and the error of its logits with all layers quantised and with one."""
    info = GraphInfo.from_config(tiny_v3_config(), GraphOptions())
    proto = onnx.load_from_string(graph)
    compact(proto)
    nodes = [node for names in quantize.layer_groups(proto).values() for node in names]
    expected = quantize.outputs(runtimes.open_runtime('onnxruntime', graph), frames)
    found = {}
    for suffix, writer in WRITERS.items():
        write = writer(proto, frames[:2], quantize.as_int8(info), nodes)
        path = tmp_path_factory.mktemp('quantised') / f'int8{suffix}'
        write(nodes, path)
        errors = [
            quantize.relative_error(quantize.outputs(quantize.run_quantised(write, suffix, some), frames), expected)
            for some in (nodes, nodes[-1:])
        ]
        found[suffix] = path, errors
    return found


@pytest.mark.parametrize('suffix', WRITERS)
def test_logits_are_close_and_layers_left_out_are_exact(quantised, suffix):
    every, one = quantised[suffix][1]
    assert 0 < one < every < 0.3
    assert one < 0.03  # only the last of the layers


@pytest.mark.parametrize('suffix', WRITERS)
def test_metadata_are_kept(quantised, suffix):
    info = GraphInfo.read(quantised[suffix][0])
    info.check_config(tiny_v3_config(), quantised[suffix][0])
    assert info.precision == 'int8'


def test_layers_are_int8_and_the_rest_is_not(quantised, graph):
    """ONNX Runtime: all weights of layers per channel; geometry, softmax and norms read no dequantised values."""
    proto = onnx.load(quantised['.onnx'][0])
    onnx.checker.check_model(proto)
    tensors = {tensor.name: tensor for tensor in proto.graph.initializer}
    producer = {output: node for node in proto.graph.node for output in node.output}
    layers = [node for node in proto.graph.node if node.op_type == 'Conv']
    assert len(layers) == sum(node.op_type == 'Conv' for node in onnx.load_from_string(graph).graph.node)
    for node in layers:
        weight = producer[node.input[1]]
        assert weight.op_type == 'DequantizeLinear' and tensors[weight.input[0]].data_type == TensorProto.INT8
        assert tensors[weight.input[1]].dims == tensors[weight.input[0]].dims[:1]  # a scale per channel
        assert producer[node.input[0]].op_type == 'DequantizeLinear'
    dequantised = [node for node in proto.graph.node if node.op_type == 'DequantizeLinear']
    stored = {node.output[0] for node in dequantised if node.input[0] in tensors}
    linear = [node for node in proto.graph.node if node.op_type == 'MatMul' and node.input[1] in stored]
    assert len(linear) == 3 * 6 + 3  # blocks of encode, process and decode; value, depth and latents of the lift
    for node in proto.graph.node:
        sources = {producer[name].op_type for name in node.input if name in producer}
        assert node.op_type not in EXACT or 'DequantizeLinear' not in sources, node.name
    calibrated = {'intrinsics', 'cam_from_ego'}
    from_images = {'imgs'}
    for node in proto.graph.node:
        if from_images.intersection(node.input):
            from_images.update(node.output)
        elif calibrated.intersection(node.input):
            calibrated.update(node.output)
            assert node.op_type != 'QuantizeLinear', node.name
    assert len(calibrated) > 20


def test_openvino_quantises_only_inputs_of_layers(quantised):
    model = openvino_core().read_model(quantised['.xml'][0])
    quantisers = [node for node in model.get_ops() if node.get_type_name() == 'FakeQuantize']
    allowed = {'Convolution', 'GroupConvolution', 'MatMul', 'Reshape', 'Transpose', 'Squeeze', 'Unsqueeze'}
    readers = {value.get_node().get_type_name() for node in quantisers for value in node.output(0).get_target_inputs()}
    assert len(quantisers) > 30 and {'Convolution', 'MatMul'} <= readers <= allowed
    constants = [node for node in model.get_ops() if node.get_type_name() == 'Constant']
    int8 = [node for node in constants if node.get_element_type().get_type_name() == 'i8']
    convolutions = [node for node in model.get_ops() if node.get_type_name() in ('Convolution', 'GroupConvolution')]
    assert len(int8) >= len(convolutions) + 21  # see above


def test_size_of_the_weights(quantised, graph):
    """A quarter, plus scales, biases and tables."""
    before = sum(len(numpy_helper.to_array(t).tobytes()) for t in onnx.load_from_string(graph).graph.initializer)
    proto = onnx.load(quantised['.onnx'][0])
    assert sum(len(numpy_helper.to_array(t).tobytes()) for t in proto.graph.initializer) < 0.35 * before
    assert quantised['.xml'][0].with_suffix('.bin').stat().st_size < 0.35 * before


def test_parts_of_the_model(graph):
    proto = onnx.load_from_string(graph)
    compact(proto)
    groups = quantize.layer_groups(proto)
    assert {name.split('.')[0] for name in groups} == {'backbone', 'neck', 'bev_decoder', 'head'}
    assert {'backbone.se', 'backbone.layers.3', 'neck.encode', 'neck.process', 'neck.lift'} <= groups.keys()
    assert len(groups['neck.process']) == 6 and len(groups['head']) == 1
    names = [name for group in groups.values() for name in group]
    assert len(names) == len(set(names))
    with pytest.raises(DeployError, match='no convolution or linear layer found'):
        quantize.layer_groups(onnx.ModelProto())


@pytest.mark.parametrize(
    ('limit', 'kept'),
    [
        (1.3, []),  # √(0.3² + 0.4² + 1.2²) = 1.3
        (0.5, ['worst']),  # √(0.3² + 0.4²) = 0.5
        (0.3, ['worst', 'bad']),
        (0.1, ['worst', 'bad', 'good']),
    ],
)
def test_rule(limit, kept):
    assert quantize.keep_float({'good': 0.3, 'worst': 1.2, 'bad': 0.4}, limit * (1 + 1e-9)) == kept


def test_rule_keeps_what_overflows():
    assert quantize.keep_float({'good': 0.1, 'broken': math.inf}, 1) == ['broken']
    assert quantize.keep_float({'broken': math.nan}, 1) == ['broken']


def test_relative_error():
    # Errors of 1, 0, 0, 1: root mean square √½; the logits 0, 0, 2, 2 have a standard deviation of 1.
    expected = [np.array([0.0, 0.0]), np.array([2.0, 2.0])]
    found = [np.array([1.0, 0.0]), np.array([2.0, 3.0])]
    assert quantize.relative_error(found, expected) == pytest.approx(math.sqrt(0.5))


def constants_graph(**arrays: np.ndarray) -> onnx.ModelProto:
    """A graph that adds each constant to its input, and multiplies it by a transposed weight."""
    nodes = [helper.make_node('Add', ['x', name], [f'{name}.sum'], name) for name in arrays]
    nodes.append(helper.make_node('Transpose', ['weight'], ['turned'], perm=[1, 0]))
    nodes.append(helper.make_node('MatMul', ['x', 'turned'], ['y'], 'product'))
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensors = [numpy_helper.from_array(array, name) for name, array in (arrays | {'weight': weight}).items()]
    value = helper.make_tensor_value_info
    inputs, outputs = [value('x', TensorProto.FLOAT, None)], [value('y', TensorProto.FLOAT, None)]
    return helper.make_model(helper.make_graph(nodes, 'g', inputs, outputs, tensors))


def test_constants_become_smaller():
    random = np.random.default_rng(0).normal(size=20000).astype(np.float32)
    proto = constants_graph(
        ones=np.ones(600, np.float32),
        metres=np.arange(600, dtype=np.float32) / 2,  # exact in fp16
        pixels=random[:600] * 100,  # coordinates that are not
        learned=random[:600],
        table=random,
        short=random[:10],
        index=np.arange(60000),
    )
    compact(proto)
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    types = {name.removesuffix('.stored'): array.dtype.name for name, array in found.items()}
    assert types == dict(
        ones='uint8', metres='float16', pixels='float32', learned='float16', table='int8', short='float32',
        index='uint16',
    ) | {'table.scale': 'float32', 'weight.10': 'float32'}  # fmt: skip
    assert found['weight.10'].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert np.abs(found['table.stored'] * found['table.scale'] - random).max() <= found['table.scale'] / 2 * 1.001
    assert [node.op_type for node in proto.graph.node if node.output[0] in ('ones', 'index')] == ['Cast', 'Cast']


def test_quantised_graph_is_refused(quantised):
    with pytest.raises(DeployError, match='expected a graph in floating point, found a quantised one'):
        compact(onnx.load(quantised['.onnx'][0]))


def test_missing_library(monkeypatch, graph, frames):
    monkeypatch.setitem(sys.modules, 'nncf', None)
    with pytest.raises(DeployError, match=r'nncf is not installed: pip install -r requirements/deploy\.txt'):
        openvino_writer(onnx.load_from_string(graph), frames, {}, [])


@pytest.mark.parametrize(
    ('flags', 'slow'), [('sse avx512_vnni', False), ('avx_vnni', False), ('avx512f avx512_vnnix', True)]
)
def test_processor_without_int8_products(monkeypatch, tmp_path, flags, slow):
    (tmp_path / 'cpuinfo').write_text(f'flags\t: {flags}\n')
    monkeypatch.setattr(runtimes, 'CPUINFO', tmp_path / 'cpuinfo')
    assert (runtimes.slow_int8() is not None) == slow
