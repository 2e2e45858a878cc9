"""Graphs of tiny models, run by ONNX Runtime and OpenVINO, against PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from projects.CVT_IO.cvt_io import __version__
from projects.CVT_IO.cvt_io.deploy import extras, runtimes
from projects.CVT_IO.cvt_io.deploy.extras import DeployError
from projects.CVT_IO.cvt_io.deploy.graph import GraphOptions, log_sum_exp
from projects.CVT_IO.cvt_io.deploy.info import GraphInfo
from projects.CVT_IO.cvt_io.deploy.onnx_export import export_onnx
from projects.CVT_IO.cvt_io.deploy.runtimes import OPENVINO_BF16, RUNTIMES, open_runtime, why_not
from projects.CVT_IO.cvt_io.deploy.verify import TOLERANCES, graph_inputs, largest_error
from projects.CVT_IO.cvt_io.fileio.checkpoint import load_weights
from projects.CVT_IO.cvt_io.labels.description import CAMERAS
from projects.CVT_IO.cvt_io.runtime.batches import random_batch
from projects.CVT_IO.cvt_io.runtime.config import build_model
from tests.deploy.exported import tiny_latent_config
from tests.tiny import REPO


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_equals_pytorch(case, runtime):
    cfg, options, checkpoint, graph = case
    if why_not(runtime):
        pytest.skip(why_not(runtime))
    model = build_model(cfg)
    load_weights(model, checkpoint)
    # 2 is what was traced.
    sizes, counts = (
        (1, 3) if options.dynamic_batch else (1,),
        (1, 3, 7) if options.dynamic_cameras else (options.cameras,),
    )
    batches = [random_batch(cfg, size, cameras, seed=1) for size in sizes for cameras in counts]
    error = largest_error(open_runtime(runtime, graph), model, batches, options.uint8)
    if runtime == OPENVINO_BF16:
        assert 1e-4 < error < 0.3  # 8 bits of mantissa; below, bf16 would not have been used
    else:
        assert error < TOLERANCES['fp16' if options.fp16 else 'fp32']


def test_inputs_outputs_and_metadata(case):
    cfg, options, _, graph = case
    proto = onnx.load_from_string(graph)
    types = {True: onnx.TensorProto.UINT8, False: onnx.TensorProto.FLOAT}
    batch = 'batch' if options.dynamic_batch else 1
    n = 'cameras' if options.dynamic_cameras else options.cameras

    def described(value):
        shape = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        return value.name, value.type.tensor_type.elem_type, shape

    assert [described(value) for value in proto.graph.input] == [
        ('imgs', types[options.uint8], [batch, n, 3, 48, 112]),
        ('intrinsics', onnx.TensorProto.FLOAT, [batch, n, 3, 3]),
        ('cam_from_ego', onnx.TensorProto.FLOAT, [batch, n, 4, 4]),
    ]
    assert [described(value) for value in proto.graph.output] == [
        ('logits', onnx.TensorProto.FLOAT, [batch, 2, 48, 48])
    ]
    metadata = {prop.key: json.loads(prop.value) for prop in proto.metadata_props}
    assert metadata['config'] == Path(cfg.filename).stem and metadata['project_version'] == __version__
    assert metadata['image_size'] == [48, 112] and metadata['outputs'] == ['vehicle', 'center']
    assert metadata['cameras'] == (None if options.dynamic_cameras else n)
    assert metadata['batch'] == (None if options.dynamic_batch else 1)
    assert metadata['mean'] == pytest.approx([0.485, 0.456, 0.406])
    assert metadata['imgs'] == ('uint8' if options.uint8 else 'float32, normalised')
    assert metadata['normalised_in_graph'] == options.uint8 and metadata['channel_order'] == 'RGB'
    assert metadata['format_version'] == 1 and metadata['top_crop'] == 15 and metadata['thresholds'] == [0.4, 0.5]
    assert metadata['label_groups']['vehicle']['classes'][:2] == ['car', 'truck']
    assert metadata['bev_grid'] == dict(size=[48, 48], metres=[48.0, 48.0], offset=0.0)
    # Cells of 1 m: the ego is at column and row 24; columns lead to the right, rows to the back.
    assert metadata['ego_from_pixels'] == [[0, -1, 24], [-1, 0, 24], [0, 0, 1]]
    assert metadata['camera_names'] == ([*CAMERAS] if n in ('cameras', 6) else None)
    assert {key: value['shape'] for key, value in metadata['tensors'].items()} == {
        value.name: described(value)[2] for value in (*proto.graph.input, *proto.graph.output)
    }
    assert metadata['tensors']['imgs']['dtype'] == ('uint8' if options.uint8 else 'float32')


@pytest.mark.parametrize(
    'name',
    ['v3 of any cameras, any batch, raw images', 'v2 of two cameras, any batch', 'cvt of two cameras, any batch'],
)
def test_opset_17_holds_no_later_operator(exported, name):
    proto = onnx.load_from_string(exported(name)[-1])
    assert [(opset.domain, opset.version) for opset in proto.opset_import] == [('', 17)]
    onnx.checker.check_model(proto, full_check=True)  # of operators, inputs and attributes against the opset


def test_log_sum_exp_of_large_values():
    x = torch.tensor([[1000.0, 1000.0], [-1000.0, -1000.0]])
    expected = torch.tensor([[1000 + np.log(2)], [-1000 + np.log(2)]], dtype=torch.float32)
    assert torch.allclose(log_sum_exp(x, [1], True), expected) and torch.allclose(log_sum_exp(x, [1]), expected[:, 0])


def test_graph_is_folded_and_says_nothing_of_this_machine(case):
    graph = case[-1]
    assert str(REPO).encode() not in graph and b'site-packages' not in graph
    nodes = onnx.load_from_string(graph).graph.node
    # Two scales, each with a BatchNorm before the activation of keys and values: these have no convolution before them.
    assert sum(node.op_type == 'BatchNormalization' for node in nodes) <= 4
    assert sum(node.op_type == 'Conv' for node in nodes) > 20
    assert not {'Dropout', 'If', 'Loop'} & {node.op_type for node in nodes}


def test_half_precision_halves_the_weights_but_not_the_geometry(exported):
    proto = onnx.load_from_string(exported('cvt of two cameras, whole batch, fp16')[-1])
    large = [tensor for tensor in proto.graph.initializer if np.prod(tensor.dims) > 500]
    single = [tensor for tensor in large if tensor.data_type == onnx.TensorProto.FLOAT]
    assert {tensor.dims[-1] for tensor in single} == {12 * 28, 24 * 56}  # homogeneous pixels of both scales
    assert sum(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in large) == len(large) - len(single) > 20
    values = onnx.shape_inference.infer_shapes(proto).graph.value_info
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    inverses = [types[node.output[0]] for node in proto.graph.node if node.op_type == 'Div'][:2]
    assert inverses == [onnx.TensorProto.FLOAT] * 2  # cofactors / determinant, of either matrix


def test_pixel_coordinates_are_exact_in_bf16(exported):
    """Without this, points would be several pixels off, and logits by more than a tenth of their range."""
    if why_not(OPENVINO_BF16):
        pytest.skip(why_not(OPENVINO_BF16))
    cfg, _, checkpoint, graph = exported('v3')
    model = build_model(cfg)
    load_weights(model, checkpoint)
    batches = [random_batch(cfg, 1, seed=seed) for seed in range(3)]
    deviation = model.eval().bev_logits(**model.data_preprocessor(batches[0])['inputs']).std().item()
    assert largest_error(open_runtime(OPENVINO_BF16, graph), model, batches, uint8=False) < 0.1 * deviation


def test_an_error_is_seen(plain):
    """Other weights than the graph's, and a graph that gives no number."""
    cfg = tiny_latent_config()
    torch.manual_seed(5)
    model, batches = build_model(cfg), [random_batch(cfg, 1)]
    assert largest_error(open_runtime('onnxruntime', plain.read_bytes()), model, batches, uint8=False) > 1e-2
    assert np.isnan(largest_error(lambda _: np.full(1, np.nan, np.float32), model, batches, uint8=False))


def test_outputs_survive_the_next_call(plain):
    cfg = tiny_latent_config()
    model = build_model(cfg)
    first, second = (graph_inputs(model, random_batch(cfg, 1, seed=seed), uint8=False) for seed in (1, 2))
    for runtime in ('onnxruntime', 'openvino'):
        run = open_runtime(runtime, plain.read_bytes(), threads=1)
        kept = run(first)
        before = kept.copy()
        assert not np.array_equal(run(second), before)
        assert np.array_equal(kept, before)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'test_dataloader.dataset.pipeline.1.size': (64, 112)}, 'image_size: expected [64, 112]'),
        ({'bev_grid.metres': (24, 24)}, 'bev_grid: expected'),
        ({'model.data_preprocessor.mean': (0.5, 0.5, 0.5)}, 'mean: expected [0.5, 0.5, 0.5]'),
        ({'model.head.label_groups.vehicle.min_visibility': 1}, 'label_groups: expected'),
        ({'model.head.center_group': None}, "outputs: expected ['vehicle']"),
    ],
)
def test_graph_of_another_config(plain, options, message):
    cfg = tiny_latent_config(**options)
    with pytest.raises(DeployError) as caught:
        GraphInfo.read(plain).check_config(cfg, plain)
    assert message in str(caught.value) and str(plain) in str(caught.value)


def test_information_is_read_as_it_was_written_and_other_files_are_refused(plain, tmp_path):
    cfg = tiny_latent_config()
    info = GraphInfo.read(plain)
    info.check_config(cfg, plain)
    assert info == GraphInfo.from_config(cfg, GraphOptions())
    with pytest.raises(DeployError, match='no such file'):
        GraphInfo.read(tmp_path / 'none.onnx')
    (tmp_path / 'text.onnx').write_text('text')
    with pytest.raises(DeployError, match=r'text\.onnx: (cannot read|metadata)'):
        GraphInfo.read(tmp_path / 'text.onnx')
    proto = onnx.load(plain)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / 'foreign.onnx')
    with pytest.raises(DeployError, match="metadata: expected 'format_version'"):
        GraphInfo.read(tmp_path / 'foreign.onnx')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(opset=16), 'opset 16: expected 17 to 25'),
        (dict(opset=26), 'opset 26: expected 17 to 25'),
        (
            dict(options=GraphOptions(dynamic_cameras=True)),
            'dynamic cameras: expected a CVTIOLiftNeck, found a CVTIOLatentNeck',
        ),
    ],
)
def test_what_cannot_be_exported(options, message):
    with pytest.raises(DeployError, match=message):
        export_onnx(tiny_latent_config(), None, **options)


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_runtime_that_cannot_load(runtime):
    if why_not(runtime):
        pytest.skip(why_not(runtime))
    with pytest.raises(DeployError, match=f'{runtime}: cannot load the graph'):
        open_runtime(runtime, b'no graph')
    with pytest.raises(DeployError, match="'tensorrt': expected one of onnxruntime, openvino, openvino-bf16"):
        open_runtime('tensorrt', b'')


def test_processor_without_bf16(monkeypatch):
    class Core:
        def get_property(self, *_):
            return ['FP32', 'INT8']

    monkeypatch.setattr(runtimes, 'openvino_core', Core)
    with pytest.raises(DeployError, match='openvino-bf16: the processor has no bfloat16'):
        open_runtime(OPENVINO_BF16, b'')
    assert why_not('openvino') is None


@pytest.mark.parametrize('name', ['onnx', 'onnxscript'])
def test_missing_extra(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DeployError, match=f'{name} is not installed: pip install -r requirements/deploy.txt'):
        export_onnx(tiny_latent_config(), None)
    assert extras.require('json') is json


def test_signals_survive_runtimes_that_went_away(plain):
    """In a process of its own, which would end with a segmentation fault."""
    code = f"""
import faulthandler, gc, pathlib, signal, subprocess
from projects.CVT_IO.cvt_io.deploy.runtimes import open_runtime, why_not
faulthandler.enable()
signal.signal(signal.SIGCHLD, lambda *_: None)
graph = pathlib.Path({str(plain)!r}).read_bytes()
one = open_runtime('openvino', graph)
two = open_runtime('openvino', graph)
why_not('openvino-bf16')
del one; gc.collect()
del two; gc.collect()
subprocess.run(['true'], timeout=20)
print('alive')
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=REPO, capture_output=True, text=True, timeout=200)
    assert done.stdout.strip().endswith('alive'), (done.returncode, done.stderr[-500:])
