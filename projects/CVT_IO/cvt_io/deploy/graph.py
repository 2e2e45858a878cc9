"""The network as one graph of plain tensors: images and calibration → logits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.config import Config
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..analysis.inputs import CAMERAS, random_batch
from ..models import CVTIOSegmentor
from .inverse import DECOMPOSITIONS

INPUTS = ('imgs', 'intrinsics', 'cam_from_ego')
OUTPUT = 'logits'
#: A batch of 1 would be taken for a constant.
TRACED_BATCH = 2


@dataclass(frozen=True)
class GraphOptions:
    """What a graph takes and how it computes.

    Attributes:
        cameras: n.
        dynamic_batch: any batch size, or 1 only.
        uint8: the images are RGB in 0…255 and are normalised inside, or come normalised in float32.
        fp16: weights and activations in half precision; calibration, its inverses and the rays stay in fp32.
        per_image: the backbone is laid out image by image. On a CPU it needs less memory, as one image's
            activations stay in the cache; the graph has more nodes and a fixed batch.
    """

    cameras: int = CAMERAS
    dynamic_batch: bool = False
    uint8: bool = False
    fp16: bool = False
    per_image: bool = False

    def __post_init__(self) -> None:
        if self.dynamic_batch and self.per_image:
            raise ValueError('per_image: expected a fixed batch, found dynamic_batch')


class ExportGraph(nn.Module):
    """What is traced: :meth:`CVTIOSegmentor.bev_logits` behind the options.

    Args:
        model: changed in place: BatchNorms are folded into the convolutions before them.
        options: see there.
    """

    def __init__(self, model: CVTIOSegmentor, options: GraphOptions) -> None:
        super().__init__()
        self.model = fuse_conv_bn(model).eval().requires_grad_(False)
        self.options = options
        if options.per_image:
            self.model.backbone = _PerImage(self.model.backbone)
        if options.fp16:
            for part in self.model.children():
                if part is not self.model.data_preprocessor:
                    part.half()

    def forward(self, imgs: Tensor, intrinsics: Tensor, cam_from_ego: Tensor) -> Tensor:
        """Args: as ``bev_logits``, but ``imgs`` uint8 with that option. Returns: logits (b, outputs, h, w) fp32."""
        if self.options.uint8:
            imgs = self.model.data_preprocessor.normalise(imgs)
        return self.model.bev_logits(imgs, intrinsics, cam_from_ego).float()


class _PerImage(nn.Module):
    """Calls the backbone once for each image."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Args: x (b, 3, H, W). Returns: as the backbone."""
        return tuple(torch.cat(maps) for maps in zip(*map(self.backbone, x.split(1)), strict=True))


def trace(cfg: Config, model: CVTIOSegmentor, options: GraphOptions) -> ExportedProgram:
    """The graph of a config's model in ATen operators that ONNX has."""
    batch = random_batch(cfg, TRACED_BATCH if options.dynamic_batch else 1, options.cameras)['inputs']
    if not options.uint8:
        batch['imgs'] = model.data_preprocessor.normalise(batch['imgs'])
    shapes = dynamic_shapes(options)
    example = {name: batch[name].contiguous() for name in INPUTS}
    graph = ExportGraph(model, options)
    # Half weights meet the fp32 images and rays by the rules of autocast, which the model's geometry is exempt from.
    half = torch.autocast('cpu', torch.float16, enabled=options.fp16)
    with torch.no_grad(), half:
        # The strict way takes twice the time, but in the other one Python's len() of a tensor would fix its batch.
        program = torch.export.export(graph, (), example, dynamic_shapes=shapes, strict=options.dynamic_batch)
        return program.run_decompositions(DECOMPOSITIONS)


def dynamic_shapes(options: GraphOptions) -> dict[str, dict[int, Dim]] | None:
    """The axes of the inputs that have no fixed length."""
    return {name: {0: Dim('batch')} for name in INPUTS} if options.dynamic_batch else None
