"""Iteration-based training in optimizer steps."""

from __future__ import annotations

import logging
from bisect import bisect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet3d.registry import LOOPS
from mmengine.dist import broadcast, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch import nn
from torch.utils.data import DataLoader

from ..datasets.nuscenes_dataset import CVTIONuScenesDataset
from ..datasets.sampler import CVTIOInfiniteSampler, CVTIOSeededDataset
from ..errors import DataError

#: Key of the last validated step among mmengine's runtime infos in a checkpoint. mmengine logs keys that begin with
#: "val" as metrics.
VALIDATED = 'last_validated_iter'


@LOOPS.register_module()
class CVTIOTrainLoop(IterBasedTrainLoop):
    """mmengine's iteration-based loop, in which an iteration is one optimizer step of the recipe's batch.

    Where the processes' batches together are a fraction of ``base_batch_size``, each step accumulates the gradients of
    several of them; so steps, schedules and intervals mean the same on any number of GPUs. With automatic scaling of
    the learning rate nothing is accumulated. A warning tells at the start if the batch differs from the recipe's.

    A resumed run equals an uninterrupted one: it continues the sample order without reading the samples seen before,
    repeats a validation that was cut short, and draws the same random numbers, which depend only on the seed and on the
    position of the step or sample in the run.

    Args:
        runner: the runner.
        dataloader: of batches for one process.
        max_iters: optimizer steps.
        base_batch_size: samples a step of the recipe; ``None`` takes whatever the data loader gives.
        **kwargs: of ``IterBasedTrainLoop``.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict | DataLoader,
        max_iters: int,
        base_batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(runner, dataloader, max_iters, **kwargs)
        self._check_order()
        batch = self.dataloader.batch_size * get_world_size()
        self.batches: Sequence[dict] = ()  # of the current step
        self.accumulate = 1
        auto_scale_lr = (runner.cfg.get('auto_scale_lr') or {}).get('enable', False)
        if base_batch_size and not auto_scale_lr:
            self.accumulate = max(round(base_batch_size / batch), 1)
        if base_batch_size and batch * self.accumulate != base_batch_size:
            print_log(
                f'Each step sees {batch * self.accumulate} samples ({get_world_size()} processes × '
                f'{self.dataloader.batch_size} × {self.accumulate} accumulated), the recipe {base_batch_size}'
                + (': the learning rate is scaled.' if auto_scale_lr else "; the learning rate is the recipe's."),
                logger='current',
                level=logging.WARNING,
            )

    def run(self) -> nn.Module:
        """Launches training, or continues it from ``iter``; returns the model.

        Hooks may have a method ``leave_train(runner)``, which is called after an exception too.
        """
        try:
            return self._run()
        finally:
            self.runner.call_hook('leave_train')

    def _run(self) -> nn.Module:
        optim_wrapper = self.runner.optim_wrapper
        if optim_wrapper._accumulative_counts != 1:
            raise DataError('optim_wrapper.accumulative_counts: expected 1; set train_cfg.base_batch_size instead')
        optim_wrapper._accumulative_counts = self.accumulate
        optim_wrapper.initialize_count_status(
            self.runner.model, self._iter * self.accumulate, self._max_iters * self.accumulate
        )
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        if self._iter > 0:
            self._skip_seen_samples()
            if self.validation_due(self._iter) and self.runner.message_hub.runtime_info.get(VALIDATED) != self._iter:
                self._validate()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            batches = [next(self.dataloader_iterator) for _ in range(self.accumulate)]
            self._seed_step()  # after the batches, which draw from the same generators where there are no workers
            self.run_iter(batches)
            if self.validation_due(self._iter) and not self.stop_training:
                self._validate()
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_iter(self, data_batches: Sequence[dict]) -> None:
        """One optimizer step. Args: data_batches, ``accumulate`` batches of the data loader."""
        self.batches = data_batches
        self.runner.call_hook('before_train_iter', batch_idx=self._iter, data_batch=data_batches[0])
        outputs = [self.runner.model.train_step(batch, self.runner.optim_wrapper) for batch in data_batches]
        self.runner.call_hook(
            'after_train_iter',
            batch_idx=self._iter,
            data_batch=data_batches[-1],
            outputs={key: sum(output[key] for output in outputs) / len(outputs) for key in outputs[0]},
        )
        self._iter += 1

    def validation_due(self, step: int) -> bool:
        """Whether there is a validation after so many steps."""
        interval = self.dynamic_intervals[bisect(self.dynamic_milestones, step + 1) - 1]
        due = step == self._max_iters or step % interval == 0
        return self.runner.val_loop is not None and step >= self.val_begin and due

    def _validate(self) -> None:
        # BatchNorm's statistics have moved since the forward pass that last shared them.
        for buffer in self.runner.model.buffers():
            broadcast(buffer)
        self.runner.message_hub.update_info('iter', self._iter)  # the same whether or not a step came before
        self.runner.val_loop.run()

    def _seed_step(self) -> None:
        """Random numbers follow from the run's seed, the process and the step, so that a resumed run draws the same."""
        words = np.random.SeedSequence([self.runner.seed, get_rank(), self._iter]).generate_state(2)
        torch.manual_seed(int(words[0]))
        np.random.seed(words[1])

    def _check_order(self) -> None:
        """Checks that the data loader can continue its order."""
        sampler, dataset = self.dataloader.sampler, self.dataloader.dataset
        if not isinstance(sampler, CVTIOInfiniteSampler):
            found = type(sampler).__name__
            raise DataError(
                f'train_dataloader.sampler: expected a CVTIOInfiniteSampler, which can be resumed, got {found}'
            )
        sampler.start(self.runner.seed)
        if not isinstance(dataset, (CVTIONuScenesDataset, CVTIOSeededDataset)):
            print_log(
                f'train_dataloader.dataset: the augmentations of a {type(dataset).__name__} do not follow from the '
                "run's seed; as dataset=dict(type='CVTIOSeededDataset', dataset=dict(…)) they do.",
                logger='current',
                level=logging.WARNING,
            )

    def _skip_seen_samples(self) -> None:
        """Winds the sampler forward; only indices are drawn, no sample is read."""
        seen = self._iter * self.accumulate * self.dataloader.batch_size
        self.dataloader.sampler.start(self.runner.seed, seen)  # the checkpoint's seed
        self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        print_log(f'Sample order continued after {seen} samples of this process.', logger='current')
