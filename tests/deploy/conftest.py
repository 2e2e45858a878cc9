"""Graphs of tiny models, each exported once."""

from __future__ import annotations

import functools

import pytest
from filelock import FileLock

from projects.CVT_IO.cvt_io.deploy.graph import GraphOptions
from projects.CVT_IO.cvt_io.deploy.onnx_export import export_onnx
from tests.apis.conftest import frame  # noqa: F401
from tests.deploy.exported import tiny_checkpoint, tiny_cvt_config, tiny_latent_config, tiny_v3_config


def tiny_v1_config():
    return tiny_latent_config(**{'model.neck.latents_per_camera': True})


#: Each option and each kind of model once: name → config, options, and an opset other than the default.
CASES = {
    'v3': (tiny_v3_config, GraphOptions()),
    'v3 of any cameras, any batch, raw images': (
        tiny_v3_config,
        GraphOptions(3, dynamic_batch=True, uint8=True, dynamic_cameras=True),
        17,
    ),
    'v3 of one camera, fp16': (tiny_v3_config, GraphOptions(1, fp16=True)),
    'v2': (tiny_latent_config, GraphOptions()),
    'v2 of two cameras, any batch': (tiny_latent_config, GraphOptions(2, dynamic_batch=True, whole_batch=True), 17),
    'v1 of four cameras, any batch': (tiny_v1_config, GraphOptions(4, dynamic_batch=True)),
    'cvt of two cameras, any batch': (tiny_cvt_config, GraphOptions(2, dynamic_batch=True), 17),
    'cvt of two cameras, whole batch, fp16': (tiny_cvt_config, GraphOptions(2, fp16=True, whole_batch=True)),
}


@pytest.fixture(scope='session')
def exported(tmp_path_factory, worker_id):
    """By name of a case: config, options, checkpoint and graph; shared by the processes of pytest-xdist."""
    folder = tmp_path_factory.getbasetemp()
    shared = folder if worker_id == 'master' else folder.parent

    @functools.cache
    def export(name: str):
        make_config, options, *opset = CASES[name]
        cfg, checkpoint, graph = make_config(), shared / f'{name}.pth', shared / f'{name}.onnx'
        with FileLock(shared / f'{name}.lock'):
            if not graph.is_file():
                graph.write_bytes(export_onnx(cfg, tiny_checkpoint(cfg, checkpoint), options, *opset))
        return cfg, options, str(checkpoint), graph.read_bytes()

    return export


@pytest.fixture(params=CASES)
def case(request, exported):
    return exported(request.param)


@pytest.fixture
def plain(exported, tmp_path):
    """A graph without options, as a file."""
    path = tmp_path / 'plain.onnx'
    path.write_bytes(exported('v2')[-1])
    return path
