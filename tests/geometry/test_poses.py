import numpy as np
import pytest

from projects.CVT_IO.cvt_io.geometry import flat_pose, invert_rigid, is_rigid, pose_matrix, yaw_of

HALF = np.sqrt(0.5)


def random_quaternions(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 4))


def product(p, q):
    """Hamilton product: the rotation q, then p."""
    (w, *v), (a, *b) = p, q
    return [w * a - np.dot(v, b), *(w * np.array(b) + a * np.array(v) + np.cross(v, b))]


def about(axis: int, angle: float) -> list[float]:
    """Quaternion of a turn about axis 0, 1, 2 = x, y, z."""
    q = [np.cos(angle / 2), 0, 0, 0]
    q[1 + axis] = np.sin(angle / 2)
    return q


def test_pose_matrix_by_hand():
    # A quarter turn about z takes x to y and y to −x.
    expected = [[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]
    np.testing.assert_allclose(pose_matrix([HALF, 0, 0, HALF], [5, 6, 7]), expected, atol=1e-15)
    # A quarter turn about x takes y to z.
    expected = [[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(pose_matrix([HALF, HALF, 0, 0], [0, 0, 0]), expected, atol=1e-15)


def test_quaternions_are_normalised():
    np.testing.assert_allclose(pose_matrix([3, 0, 0, 3], [1, 2, 3]), pose_matrix([HALF, 0, 0, HALF], [1, 2, 3]))
    assert yaw_of([3, 0, 0, 3]) == pytest.approx(np.pi / 2)


def test_yaw_with_roll_and_pitch_by_hand():
    # q = (1, 1, 1, 1) / 2 turns by 120° about the diagonal, x → y → z → x. The label's yaw is
    # atan2(2(wz − xy), 1 − 2(y² + z²)) = atan2(2(1/4 − 1/4), 1 − 2(1/4 + 1/4)) = atan2(0, 0) = 0;
    # the usual one, atan2(2(wz + xy), …) = atan2(1, 0), would be 90°.
    assert yaw_of([0.5, 0.5, 0.5, 0.5]) == 0
    # q = (4, 2, 1, 2) / 5: atan2(2(8 − 2), 25 − 2(1 + 4)) = atan2(12, 15); the usual one would be atan2(20, 15).
    assert yaw_of([4, 2, 1, 2]) == pytest.approx(np.arctan2(12, 15), abs=1e-15)


def test_yaw_is_the_last_turn_of_roll_pitch_yaw_applied_yaw_first():
    # R = Rx(roll) Ry(pitch) Rz(yaw), so the first row is (cos p cos y, −cos p sin y, sin p).
    for roll, pitch, yaw in np.random.default_rng(1).uniform(-1.5, 1.5, (20, 3)):
        q = product(product(about(0, roll), about(1, pitch)), about(2, yaw))
        assert yaw_of(q) == pytest.approx(yaw, abs=1e-12)


@pytest.mark.parametrize('q', random_quaternions(20))
def test_yaw_follows_the_formula(q):
    w, x, y, z = q / np.linalg.norm(q)
    assert yaw_of(q) == pytest.approx(np.arctan2(2 * (w * z - x * y), 1 - 2 * (y**2 + z**2)), abs=1e-12)


@pytest.mark.parametrize('q', random_quaternions(5))
def test_flat_pose_keeps_yaw_and_translation_only(q):
    yaw = yaw_of(q)
    c, s = np.cos(yaw), np.sin(yaw)
    expected = [[c, -s, 0, 5], [s, c, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1]]
    np.testing.assert_allclose(flat_pose(q, [5, 6, 7]), expected, atol=1e-12)


def test_invert_rigid_equals_the_general_inverse():
    poses = np.stack([pose_matrix(q, t) for q, t in zip(random_quaternions(6), np.eye(6, 3) * 100, strict=True)])
    np.testing.assert_allclose(invert_rigid(poses[0]), np.linalg.inv(poses[0]), atol=1e-12)
    batch = poses.reshape(2, 3, 4, 4)
    np.testing.assert_allclose(invert_rigid(batch), np.linalg.inv(batch), atol=1e-12)
    np.testing.assert_array_equal(invert_rigid(poses)[:, 3], [[0, 0, 0, 1]] * 6)


def test_invert_rigid_by_hand():
    # The ego at (5, 6) looks along +y: a point at (5, 8) is 2 m ahead of it.
    world_from_ego = flat_pose([HALF, 0, 0, HALF], [5, 6, 0])
    np.testing.assert_allclose(invert_rigid(world_from_ego) @ [5, 8, 0, 1], [2, 0, 0, 1], atol=1e-15)


def test_rotations_with_translations_are_rigid():
    poses = np.stack([pose_matrix(q, t) for q, t in zip(random_quaternions(6), np.eye(6, 3) * 1e7, strict=True)])
    assert is_rigid(poses.reshape(2, 3, 4, 4)).all()
    assert is_rigid(poses.round(5)).all()  # calibration written with few digits


@pytest.mark.parametrize(
    ('row', 'column', 'value'),
    [(0, 0, -1.0), (0, 0, 1.01), (0, 1, 0.01), (3, 0, 1e-6), (3, 3, 2.0), (0, 3, np.nan), (1, 1, np.inf), (2, 3, 1e9)],
)
def test_what_is_not_rigid(row, column, value):
    matrices = np.stack([np.eye(4), np.eye(4)])
    matrices[1, row, column] = value
    assert is_rigid(matrices).tolist() == [True, False]
