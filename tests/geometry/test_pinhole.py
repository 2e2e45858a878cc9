import numpy as np
import pytest

from projects.CVT_IO.cvt_io.geometry import (
    is_pinhole,
    is_rigid,
    mirror_camera,
    pose_matrix,
    project,
    resize_crop_intrinsics,
)

INTRINSICS = np.array([[1000.0, 0, 800], [0, 1200, 450], [0, 0, 1]])
# A camera 1.5 m above the ego, looking ahead: camera x is ego −y, camera y is ego −z, camera z is ego x.
CAM_FROM_EGO = np.array([[0.0, -1, 0, 0], [0, 0, -1, 1.5], [1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ('point', 'pixel', 'depth'),
    [
        ((10, 0, 1.5), (800, 450), 10),  # Straight ahead at the camera's height: the principal point.
        ((10, 2, 1.5), (600, 450), 10),  # 2 m left of it: 1000 · 2 / 10 = 200 pixels left.
        ((20, 0, 0), (800, 540), 20),  # The ground 20 m ahead: 1200 · 1.5 / 20 = 90 pixels below.
    ],
)
def test_projection_by_hand(point, pixel, depth):
    pixels, depths = project(np.array(point), INTRINSICS, CAM_FROM_EGO)
    np.testing.assert_allclose(pixels, pixel)
    assert depths == pytest.approx(depth)


def test_points_behind_have_a_depth_below_zero_and_give_no_warning(recwarn):
    pixels, depths = project(np.array([[[-3, 0, 0], [0, 1, 1.5]]]), INTRINSICS, CAM_FROM_EGO)
    np.testing.assert_allclose(depths, [[-3, 0]])
    assert pixels.shape == (1, 2, 2)
    assert not recwarn.list


def test_resize_and_crop_by_hand():
    # 1600×900 to 480×270 is × 0.3 both ways; then the top 46 rows are cut: cy = 450 · 0.3 − 46 = 89.
    found = resize_crop_intrinsics(INTRINSICS, (480 / 1600, 270 / 900), (0, 46))
    np.testing.assert_allclose(found, [[300, 0, 240], [0, 360, 89], [0, 0, 1]])
    # Unequal factors, and a crop on the left too.
    found = resize_crop_intrinsics(INTRINSICS, (0.5, 0.25), (7, 0))
    np.testing.assert_allclose(found, [[500, 0, 393], [0, 300, 112.5], [0, 0, 1]])


def test_resize_and_crop_move_projected_pixels_alike():
    points = np.array([[10, 2, 1], [5, -1, 0.3], [30, 9, 2]])
    before, _ = project(points, INTRINSICS, CAM_FROM_EGO)
    scale, top_left = np.array([0.3, 0.4]), np.array([11, 46])
    after, _ = project(points, resize_crop_intrinsics(INTRINSICS, scale, top_left), CAM_FROM_EGO)
    np.testing.assert_allclose(after, before * scale - top_left)


def test_the_batch_is_kept_and_the_input_is_not_changed():
    batch = np.stack([INTRINSICS, 2 * INTRINSICS])
    before = batch.copy()
    found = resize_crop_intrinsics(batch, (0.5, 0.5), (1, 2))
    np.testing.assert_array_equal(batch, before)
    np.testing.assert_allclose(found[1], resize_crop_intrinsics(2 * INTRINSICS, (0.5, 0.5), (1, 2)))


NUSCENES = np.array([[1266.4, 0, 816.3], [0, 1266.4, 491.5], [0, 0, 1]])


def changed(row: int, column: int, value: float) -> np.ndarray:
    matrix = NUSCENES.copy()
    matrix[row, column] = value
    return matrix


@pytest.mark.parametrize(
    ('matrix', 'any_size', 'of_1600_by_900'),
    [
        (NUSCENES, True, True),
        (changed(0, 1, 5.0), True, True),  # a little skew
        (changed(0, 1, 1300.0), False, False),
        (changed(0, 0, -1266.4), False, False),
        (changed(1, 1, 0), False, False),
        (changed(1, 0, 1), False, False),
        (changed(2, 2, 2), False, False),
        (changed(0, 2, np.nan), False, False),
        (changed(0, 0, np.inf), False, False),
        (changed(0, 2, 1600 + 799), True, True),  # half an image beyond the border
        (changed(0, 2, 1600 + 801), True, False),
        (changed(1, 2, -451), True, False),
        (changed(0, 0, 79), True, False),  # 1600 / 20 = 80
        (changed(1, 1, 90_001), True, False),  # 900 · 100
        (np.diag([0.25, 0.25, 1]) @ NUSCENES, True, True),  # of a quarter of the size: its middle is still inside
        (np.diag([4, 4, 1]) @ NUSCENES, True, False),
        (np.zeros((3, 3)), False, False),
    ],
)
def test_what_can_be_intrinsics(matrix, any_size, of_1600_by_900):
    assert (is_pinhole(matrix), is_pinhole(matrix, np.array([1600, 900]))) == (any_size, of_1600_by_900)


def test_intrinsics_of_many_images_at_once():
    matrices = np.stack([NUSCENES, changed(0, 0, np.nan), NUSCENES / [[4], [4], [1]]])
    sizes = np.array([[1600, 900], [1600, 900], [400, 225]])
    assert is_pinhole(matrices, sizes).tolist() == [True, False, True]
    assert is_pinhole(np.stack([matrices] * 2), np.stack([sizes] * 2)).shape == (2, 3)


# --- mirror ----------------------------------------------------------------------------------------------------------


def test_a_front_left_camera_becomes_a_front_right_one_by_hand():
    """55° to the left, 0.5 m left of the ego; the principal point is 10 pixels right of the middle of 1600."""
    sin, cos = np.sin(np.radians(55)), np.cos(np.radians(55))

    def facing(side: int) -> np.ndarray:
        pose = np.eye(4)
        # Rows: the camera's right, down and ahead in the ego's axes (ahead, left, up).
        pose[:3, :3] = [[side * sin, -cos, 0], [0, 0, -1], [cos, side * sin, 0]]
        pose[:3, 3] = -pose[:3, :3] @ [1.5, side * 0.5, 1.6]
        return pose

    intrinsics, pose = mirror_camera(np.array([[1000.0, 0, 810], [0, 1200, 450], [0, 0, 1]]), facing(1), 1600)
    np.testing.assert_allclose(pose, facing(-1), atol=1e-12)
    np.testing.assert_allclose(intrinsics, [[1000, 0, 790], [0, 1200, 450], [0, 0, 1]])


def test_mirrored_points_are_at_mirrored_pixels():
    """With any pose and skewed intrinsics, all of them plausible again; twice is no change."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        pose = pose_matrix(rng.normal(size=4), rng.normal(size=3))
        intrinsics = np.array([[900 * rng.uniform(0.5, 2), 40, 300], [0, 700, 200], [0, 0, 1.0]])
        points = rng.normal(size=(50, 3)) * 20
        mirrored = mirror_camera(intrinsics, pose, 640)
        assert is_pinhole(mirrored[0], np.array([640, 480])) and is_rigid(mirrored[1])
        (before, depth), (after, same) = project(points, intrinsics, pose), project(points * [1, -1, 1], *mirrored)
        np.testing.assert_allclose(same, depth)
        np.testing.assert_allclose(after, [640, 0] + before * [-1, 1])
        for twice, once in zip(mirror_camera(*mirrored, 640), (intrinsics, pose), strict=True):
            np.testing.assert_allclose(twice, once)
