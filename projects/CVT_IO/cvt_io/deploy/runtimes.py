"""CPU runtimes for exported graphs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .extras import DeployError, require
from .graph import OUTPUT

#: Inputs by name → logits (b, outputs, h, w) float32.
Run = Callable[[Mapping[str, np.ndarray]], np.ndarray]

ONNXRUNTIME, OPENVINO, OPENVINO_BF16 = 'onnxruntime', 'openvino', 'openvino-bf16'
RUNTIMES = (ONNXRUNTIME, OPENVINO, OPENVINO_BF16)
CPUINFO = Path('/proc/cpuinfo')


def open_runtime(name: str, graph: bytes | Path, threads: int | None = None) -> Run:
    """Loads a graph.

    Args:
        name: one of :data:`RUNTIMES`.
        graph: content or path of an ONNX file or, for OpenVINO, path of an ``.xml`` file with a ``.bin`` next to it.
        threads: number of threads; defaults to PyTorch's.

    Raises:
        DeployError: the runtime is not installed, cannot load the graph, or does not support this processor.
    """
    reason = why_not(name)
    if reason is not None:
        raise DeployError(f'{name}: {reason}')
    threads = threads or torch.get_num_threads()
    try:
        if name == ONNXRUNTIME:
            return _onnxruntime(graph, threads)
        return _openvino(graph, threads, 'bf16' if name == OPENVINO_BF16 else 'f32')
    except RuntimeError as error:  # base class of both runtimes' errors
        raise DeployError(f'{name}: cannot load the graph: {str(error).strip().splitlines()[0]}') from error


def why_not(name: str) -> str | None:
    """Why a runtime does not support this processor, or ``None`` if it does.

    Raises:
        DeployError: the runtime is unknown or not installed.
    """
    if name not in RUNTIMES:
        raise DeployError(f'runtime {name!r}: expected one of {", ".join(RUNTIMES)}')
    if name == OPENVINO_BF16 and not _has_bf16():
        return 'the processor has no bfloat16 instructions (avx512_bf16 or amx_bf16)'
    return None


def _has_bf16() -> bool:
    return 'BF16' in openvino_core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')


def slow_int8() -> str | None:
    """Why quantised graphs may not be faster on this processor, or ``None`` if they should be."""
    if not CPUINFO.is_file() or {'avx512_vnni', 'avx_vnni'}.intersection(CPUINFO.read_text().split()):
        return None
    return 'int8 may not be faster here: the processor has no int8 dot products (avx512_vnni or avx_vnni)'


def describe_runtime(name: str) -> str:
    """Package and version, for example ``onnxruntime 1.32.0``."""
    package = name.removesuffix('-bf16')
    return f'{package} {require(package).__version__.split("-")[0]}'


def _onnxruntime(graph: bytes | Path, threads: int) -> Run:
    onnxruntime = require('onnxruntime')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3  # errors
    # Spinning threads take cores from other work, and are not faster here.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=['CPUExecutionProvider'])
    except Exception as error:  # its errors share no other base class
        raise DeployError(f'{ONNXRUNTIME}: cannot load the graph: {str(error).splitlines()[0]}') from error
    return lambda inputs: session.run([OUTPUT], dict(inputs))[0]


@functools.cache
def openvino_core() -> Any:
    """The only core of the process, never destroyed.

    A core restores on destruction the signal stack that it found at creation, even if that belonged to another core and
    no longer exists. The next handled signal, such as a data loader's SIGCHLD, would then crash the process.
    """
    return require('openvino').Core()


def _openvino(graph: bytes | Path, threads: int, precision: str) -> Run:
    core = openvino_core()
    settings = {'INFERENCE_PRECISION_HINT': precision, 'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_NUM_THREADS': threads}
    model = core.read_model(graph)
    if precision == 'bf16':
        _keep_indices_exact(model)
    request = core.compile_model(model, 'CPU', settings).create_infer_request()
    # The outputs are views of memory that the next call overwrites.
    return lambda inputs: request.infer(dict(inputs))[OUTPUT].copy()


def _keep_indices_exact(model: Any) -> None:
    """Keeps everything that is rounded to an index in fp32; a pixel coordinate in bf16 is off by several pixels.

    OpenVINO keeps the operators between the last convolution or matrix product and an output in fp32. Therefore the
    values to be rounded become additional outputs.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() == 'Convert' and not node.get_output_element_type(0).is_real():
            value = node.input_value(0)
            if value.get_element_type().is_real() and value.get_node().get_type_name() != 'Constant':
                model.add_outputs(value)
