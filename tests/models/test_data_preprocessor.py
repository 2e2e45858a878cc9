import pytest
import torch
from mmengine.dataset import pseudo_collate

from projects.CVT_IO.cvt_io.models import CVTIODataPreprocessor
from tests.models.cases import surround_rig

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def random_item(seed: int, cameras: int = 3, size: tuple[int, int] = (4, 6)) -> dict:
    generator = torch.Generator().manual_seed(seed)
    rig = surround_rig(1, cameras, seed=seed)
    return dict(
        inputs=dict(
            imgs=torch.randint(256, (cameras, 3, *size), generator=generator, dtype=torch.uint8),
            intrinsics=rig.intrinsics[0].float(),
            cam_from_ego=rig.cam_from_ego[0].float(),
        ),
        data_samples=f'sample {seed}',
    )


def test_a_batch():
    items = [random_item(i) for i in range(2)]
    preprocessor, batch = CVTIODataPreprocessor(), pseudo_collate(items)
    out = preprocessor(batch)
    assert [img.dtype for img in batch['inputs']['imgs']] == [torch.uint8] * 2  # left as it was
    assert preprocessor.state_dict() == {}
    assert out['data_samples'] == ['sample 0', 'sample 1']
    inputs = out['inputs']
    assert {key: (value.shape, value.dtype) for key, value in inputs.items()} == dict(
        imgs=((2, 3, 3, 4, 6), torch.float32),
        intrinsics=((2, 3, 3, 3), torch.float32),
        cam_from_ego=((2, 3, 4, 4), torch.float32),
    )
    for b, item in enumerate(items):
        assert torch.equal(inputs['intrinsics'][b], item['inputs']['intrinsics'])
        assert torch.equal(inputs['cam_from_ego'][b], item['inputs']['cam_from_ego'])
        for channel in range(3):
            pixels = item['inputs']['imgs'][:, channel].double() / 255
            expected = (pixels - MEAN[channel]) / STD[channel]
            assert torch.allclose(inputs['imgs'][b, :, channel].double(), expected, rtol=0, atol=1e-6)


def test_other_statistics():
    preprocessor = CVTIODataPreprocessor(mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    white = preprocessor.normalise(torch.full((3, 1, 1), 255, dtype=torch.uint8))
    assert white.flatten().tolist() == [1, 3, 1]


@pytest.mark.parametrize('other', [dict(cameras=4), dict(size=(4, 8))])
def test_samples_of_different_shapes_are_refused(other):
    batch = pseudo_collate([random_item(0), random_item(1, **other)])
    with pytest.raises(ValueError, match=r'inputs\.imgs.*different shapes.*\(3, 3, 4, 6\)'):
        CVTIODataPreprocessor()(batch)
