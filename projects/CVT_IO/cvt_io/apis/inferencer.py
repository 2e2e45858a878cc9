"""Inferencer that predicts probabilities, regions and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib import pyplot as plt
from mmdet3d.registry import INFERENCERS
from mmdet3d.structures import Det3DDataSample
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.infer import BaseInferencer
from mmengine.visualization import Visualizer

from ..datasets.wrappers import first_part
from ..deploy.exported import is_exported
from ..errors import DataError
from ..geometry import BEVGrid
from ..models import CVTIOSegmentor
from ..runtime.config import ConfigError
from ..runtime.machine import require_device
from ..visualization.scene import frame_name, write_picture
from .frames import FrameReader
from .inputs import open_source
from .model import find_model, load_model
from .outputs import as_text, write_prediction
from .picture import draw_prediction
from .pipeline import build_pipeline
from .regions import connected_regions


@INFERENCERS.register_module()
class CVTIOInferencer(BaseInferencer):
    """Runs a trained model on frames from various sources.

    Args:
        model: name in the zoo, path of a config, a config, or an exported file (``.onnx``, or OpenVINO's ``.xml``),
            which needs neither config nor weights, and has no data sets.
        weights: file or name in the zoo, or an exported file; optional if ``model`` is a name with published weights.
        device: ``cpu``, ``cuda``, ``cuda:1`` …; defaults to a GPU if available. Exported files run on the CPU.
        scope: mmengine's default scope.
        show_progress: whether to show a progress bar on stderr, if it is a terminal and there are several frames.
        cfg_options: overrides of the config, ``{'a.b': value}``; ``data_root`` applies to every data set.

    Raises:
        DataError: model, file or device does not exist, or the weights do not fit the model.

    Example:
        >>> inferencer = CVTIOInferencer('cvt_io_v2_2_toy')
        >>> result = inferencer('rig.json', out_dir='outputs', return_vis=True)
        >>> result['predictions'][0]['regions']['vehicle'][0]['center']  # metres ahead and to the left
    """

    preprocess_kwargs: ClassVar[set] = {'frames', 'scene', 'image_root', 'skip_broken'}
    forward_kwargs: ClassVar[set] = set()
    visualize_kwargs: ClassVar[set] = {'return_vis', 'show', 'wait_time', 'vis_dir', 'threshold'}
    postprocess_kwargs: ClassVar[set] = {'print_result', 'pred_dir', 'score_thr'}

    def __init__(
        self,
        model: str | Path | Config | ConfigDict | dict,
        weights: str | Path | None = None,
        device: str | None = None,
        scope: str = 'mmdet3d',
        show_progress: bool = True,
        cfg_options: dict[str, Any] | None = None,
    ) -> None:
        cfg, path = find_model(model, weights, cfg_options)
        try:
            self.grid = BEVGrid.from_dict(first_part(cfg.test_dataloader.dataset).bev_grid)
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(f'{cfg.filename or "config"}: test_dataloader.dataset.bev_grid: {error}') from error
        self.skipped: list[str] = []  # error messages of the frames skipped in the last call
        device = device or ('cpu' if is_exported(path) else get_device())
        super().__init__(cfg, str(path), str(require_device(device)), scope, show_progress)

    def __call__(  # type: ignore[override]
        self,
        inputs: str | Path | Sequence[str | Path],
        return_datasamples: bool = False,
        batch_size: int = 1,
        **kwargs: Any,
    ) -> dict:
        """Predicts all frames. For long inputs, use :meth:`stream`, which yields frame by frame.

        Args:
            inputs: ``train``, ``val`` or ``test`` (a data set of the config), our infos (``.json``), mmdet3d's
                (``.pkl``), a rig (``.json``), or a list of these.
            return_datasamples: whether to return predictions as ``Det3DDataSample`` instead of dicts.
            batch_size: number of frames per batch.
            **kwargs: ``frames`` (prefixes of tokens) and ``scene`` select frames. ``image_root`` is the folder of the
                images. ``skip_broken`` reports and skips broken frames. ``score_thr`` (0.5) is the threshold of masks
                and regions. ``out_dir`` receives ``preds/`` and ``vis/``, unless disabled by ``no_save_pred`` and
                ``no_save_vis``. Also ``return_vis``, ``show``, ``wait_time`` (seconds) and ``print_result``.

        Returns:
            ``predictions``: for each frame a dict with ``name``, ``sample_token``, ``scene_name``, ``cameras``,
            ``notes`` on assumptions, ``groups``, ``score_thr``, ``grid`` (see :class:`BEVGrid`), ``regions`` (see
            :func:`connected_regions`) and ``probabilities`` (groups, h, w) float16. ``visualization``: pictures
            (height, width, 3) uint8 RGB, or None.

        Raises:
            DataError: an input is broken, all frames are broken or, without ``skip_broken``, any frame is.
        """
        results = list(self.stream(inputs, return_datasamples, batch_size, **kwargs))
        return {
            'predictions': [prediction for prediction, _ in results],
            'visualization': [picture for _, picture in results] if kwargs.get('return_vis') else None,
        }

    def stream(
        self,
        inputs: str | Path | Sequence[str | Path],
        return_datasamples: bool = False,
        batch_size: int = 1,
        **kwargs: Any,
    ) -> Iterator[tuple[dict | Det3DDataSample, np.ndarray | None]]:
        """Yields prediction and picture of each frame; see :meth:`__call__` for arguments, values and errors."""
        prepare, forward, draw, finish = self._dispatch_kwargs(**kwargs)
        for batch in self.preprocess(self._inputs_to_list(inputs), batch_size, **prepare):
            samples = self.forward(batch, **forward)
            pictures = self.visualize(batch['inputs']['imgs'], samples, **draw)
            results = self.postprocess(samples, pictures, return_datasamples, **finish)
            yield from zip(results['predictions'], pictures, strict=True)

    def preprocess(
        self,
        inputs: Sequence[str | Path],
        batch_size: int = 1,
        frames: Sequence[str] = (),
        scene: str | None = None,
        image_root: str | Path | None = None,
        skip_broken: bool = False,
    ) -> Iterator[dict]:
        """Yields batches of frames with the same number of cameras, in input order."""
        root = None if image_root is None else Path(image_root)
        if not inputs:
            raise DataError('inputs: expected at least one, found none')
        if batch_size < 1:
            raise DataError(f'batch_size: expected at least 1, found {batch_size!r}')
        sources = [open_source(given, self.cfg, frames, scene, root) for given in inputs]
        reader = FrameReader(sources, self.pipeline, skip_broken, self.show_progress)
        self.skipped = reader.skipped
        batch: list[dict] = []
        for item in reader:
            if batch and len(item['inputs']['imgs']) != len(batch[0]['inputs']['imgs']):
                yield self.collate_fn(batch)
                batch = []
            batch.append(item)
            if len(batch) == batch_size:
                yield self.collate_fn(batch)
                batch = []
        if batch:
            yield self.collate_fn(batch)

    def visualize(  # type: ignore[override]
        self,
        inputs: Sequence[Any],
        preds: Sequence[Det3DDataSample],
        threshold: float = 0.5,
        return_vis: bool = False,
        show: bool = False,
        wait_time: float = 0,
        vis_dir: Path | None = None,
    ) -> list[np.ndarray | None]:
        """Draws a batch if pictures are requested; ``inputs`` are its images, (n, 3, H, W) uint8 RGB each."""
        if not (return_vis or show or vis_dir):
            return [None] * len(preds)
        pictures: list[np.ndarray | None] = []
        for imgs, sample in zip(inputs, preds, strict=True):
            picture = draw_prediction(sample, imgs.shape[-2:], self.model.head.groups[0], self.grid, threshold)
            name = f'{frame_name(sample.scene_name, sample.sample_token)}.png'
            if vis_dir is not None:
                write_picture(vis_dir / name, picture)
            if show:
                self.visualizer.show(picture, win_name=name, wait_time=wait_time)
            pictures.append(picture)
        return pictures

    def postprocess(  # type: ignore[override]
        self,
        preds: Sequence[Det3DDataSample],
        visualization: Sequence[np.ndarray | None],
        return_datasample: bool = False,
        score_thr: float = 0.5,
        print_result: bool = False,
        pred_dir: Path | None = None,
    ) -> dict:
        """Converts predictions to plain values, and writes and prints them if requested."""
        predictions: list[dict | Det3DDataSample] = []
        for sample in preds:
            scores = sample.pred_bev.scores.cpu().numpy()
            result = self._result(sample, scores, score_thr)
            if pred_dir is not None:
                write_prediction(pred_dir, result, scores, score_thr)
            if print_result:
                print(as_text(result))
            predictions.append(sample if return_datasample else result | dict(probabilities=scores.astype(np.float16)))
        return {'predictions': predictions, 'visualization': visualization}

    def _result(self, sample: Det3DDataSample, scores: np.ndarray, threshold: float) -> dict:
        groups = [group.name for group in self.model.head.groups]
        return dict(
            name=frame_name(sample.scene_name, sample.sample_token),
            sample_token=sample.sample_token,
            scene_name=sample.scene_name,
            cameras=[image['camera'] for image in sample.images],
            notes=sample.notes,
            groups=groups,
            score_thr=threshold,
            grid=self.grid.to_dict(),
            regions={
                group: connected_regions(score, self.grid, threshold)
                for group, score in zip(groups, scores, strict=True)
            },
        )

    def _dispatch_kwargs(  # type: ignore[override]
        self,
        out_dir: str | Path = '',
        score_thr: float = 0.5,
        no_save_vis: bool = False,
        no_save_pred: bool = False,
        **kwargs: Any,
    ) -> tuple[dict, dict, dict, dict]:
        if not 0 <= score_thr <= 1:
            raise DataError(f'score_thr: expected a probability from 0 to 1, found {score_thr!r}')
        if kwargs.get('show') and plt.get_backend().lower() == 'agg':  # matplotlib's fallback
            raise DataError('show: no display or no GUI toolkit available; use out_dir to write the pictures to files')
        folders = {}
        if out_dir:
            folders = dict(
                vis_dir=None if no_save_vis else Path(out_dir, 'vis'),
                pred_dir=None if no_save_pred else Path(out_dir, 'preds'),
            )
        return super()._dispatch_kwargs(score_thr=score_thr, threshold=score_thr, **folders, **kwargs)

    def _inputs_to_list(self, inputs: str | Path | Sequence[str | Path]) -> list:
        return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]

    def _init_model(self, cfg: Config, weights: str, device: str = 'cpu') -> CVTIOSegmentor:
        return load_model(cfg, weights, torch.device(device))

    def _init_pipeline(self, cfg: Config) -> dict[bool, Compose]:  # type: ignore[override]
        """Pipelines by ``Source.any_rig``."""
        return {any_rig: build_pipeline(cfg, any_rig) for any_rig in (False, True)}

    def _init_collate(self, cfg: Config) -> Callable:
        return pseudo_collate

    def _init_visualizer(self, cfg: Config) -> Visualizer:
        """A visualizer for windows only; the config's would open log files."""
        return Visualizer()
