"""The network as a single graph: images and calibration → logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.config import Config
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..models import CVTIOSegmentor
from ..runtime.batches import CAMERAS, random_batch
from .inverse import closed_form_inverse

INPUTS = ('imgs', 'intrinsics', 'cam_from_ego')
OUTPUT = 'logits'
#: The exporter treats a batch of 1 as a constant.
TRACED_BATCH = 2


@dataclass(frozen=True)
class GraphOptions:
    """Inputs and precision of a graph.

    Attributes:
        cameras: number of cameras n.
        dynamic_batch: whether to support any batch size instead of 1.
        uint8: whether images are RGB in 0…255 and normalised in the graph, instead of normalised float32.
        fp16: whether to use half precision for weights and activations; calibration, inverses and rays stay in fp32.
        whole_batch: whether the backbone processes all images at once, which suits a GPU. Otherwise it is unrolled
            camera by camera, which fits a CPU's cache and needs a fraction of the memory.
        dynamic_cameras: whether to support any number of cameras; implies ``whole_batch``. Only for ``CVTIOLiftNeck``:
            the other necks unroll their attention over the cameras.
    """

    cameras: int = CAMERAS
    dynamic_batch: bool = False
    uint8: bool = False
    fp16: bool = False
    whole_batch: bool = False
    dynamic_cameras: bool = False


class ExportGraph(nn.Module):
    """The module to trace: :meth:`CVTIOSegmentor.bev_logits` with the options applied.

    Args:
        model: modified in place; BatchNorms are folded into the preceding convolutions.
        options: options of the graph.
    """

    def __init__(self, model: CVTIOSegmentor, options: GraphOptions) -> None:
        super().__init__()
        self.model = fuse_conv_bn(model).eval().requires_grad_(False)
        self.options = options
        if not (options.whole_batch or options.dynamic_cameras):
            self.model.backbone = _PerCamera(self.model.backbone, options.cameras)
        if options.fp16:
            for part in self.model.children():
                if part is not self.model.data_preprocessor:
                    part.half()

    def forward(self, imgs: Tensor, intrinsics: Tensor, cam_from_ego: Tensor) -> Tensor:
        """Args: see ``bev_logits``; ``imgs`` is uint8 with that option. Returns: logits (b, outputs, h, w) fp32."""
        if self.options.uint8:
            imgs = self.model.data_preprocessor.normalise(imgs)
        return self.model.bev_logits(imgs, intrinsics, cam_from_ego).float()


class _PerCamera(nn.Module):
    """Calls the backbone once for each camera."""

    def __init__(self, backbone: nn.Module, cameras: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.cameras = cameras

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Args: x (b·n, 3, H, W). Returns: as the backbone."""
        outputs = map(self.backbone, x.unflatten(0, (-1, self.cameras)).unbind(1))
        return tuple(torch.stack(maps, 1).flatten(0, 1) for maps in zip(*outputs, strict=True))


def trace(cfg: Config, model: CVTIOSegmentor, options: GraphOptions) -> ExportedProgram:
    """Traces a model into ATen operators that ONNX supports."""
    batch = random_batch(cfg, TRACED_BATCH if options.dynamic_batch else 1, options.cameras)['inputs']
    if not options.uint8:
        batch['imgs'] = model.data_preprocessor.normalise(batch['imgs'])
    shapes = dynamic_shapes(options)
    example = {name: batch[name].contiguous() for name in INPUTS}
    graph = ExportGraph(model, options)
    # Autocast handles the mix of half weights with fp32 images and rays; the model's geometry disables it.
    half = torch.autocast('cpu', torch.float16, enabled=options.fp16)
    with torch.no_grad(), half:
        program = torch.export.export(graph, (), example, dynamic_shapes=shapes)
        return program.run_decompositions(DECOMPOSITIONS)


def dynamic_shapes(options: GraphOptions) -> dict[str, dict[int, Dim]] | None:
    """Dynamic axes of the inputs."""
    axes = {0: Dim('batch')} if options.dynamic_batch else {}
    axes |= {1: Dim('cameras')} if options.dynamic_cameras else {}
    return dict.fromkeys(INPUTS, axes) if axes else None


def log_sum_exp(x: Tensor, dim: list[int], keepdim: bool = False) -> Tensor:
    """``torch.logsumexp`` of finite values, by elementary operators.

    With ONNX's ReduceLogSumExp, ``cvt`` takes 1.6 times as long in ONNX Runtime, and OpenVINO 2026.4 ignores the axes
    of its form before opset 18.
    """
    highest = x.amax(dim, keepdim=True)
    result = (x - highest).exp().sum(dim, keepdim=True).log() + highest
    return result if keepdim else result.squeeze(dim)


#: For ``ExportedProgram.run_decompositions``.
DECOMPOSITIONS: dict[Any, Any] = {
    torch.ops.aten.linalg_inv.default: closed_form_inverse,
    torch.ops.aten.logsumexp.default: log_sum_exp,
}
