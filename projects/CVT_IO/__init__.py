"""CVT-IO: camera-only bird's-eye-view segmentation through a small latent array."""

from . import cvt_io_mmcv_ops as cvt_io_mmcv_ops  # before anything imports mmcv.ops
