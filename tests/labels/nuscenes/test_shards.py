"""Labels made by several shards."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest

from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.geometry import BEVGrid
from projects.CVT_IO.cvt_io.labels.layout import label_dir
from projects.CVT_IO.cvt_io.labels.nuscenes.converter import convert
from projects.CVT_IO.cvt_io.labels.nuscenes.shards import Shard

from .nuscenes_tree import VERSION, contents

GRID = BEVGrid((50, 50), (50, 50))


def run(root: Path, out_dir: Path, **options):
    return convert(root, VERSION, out_dir, grid=GRID, progress=False, **options)


def labels(out_dir: Path) -> list[Path]:
    return sorted(out_dir.rglob('*.png'))


@pytest.fixture(scope='module')
def whole(shared_tree, tmp_path_factory) -> dict[str, bytes]:
    """What one run makes: nine labels of three scenes, two infos and grid.json."""
    out_dir = tmp_path_factory.mktemp('whole')
    run(shared_tree, out_dir)
    assert len(contents(out_dir)) == 9 + 2 + 1
    return contents(out_dir)


@pytest.fixture
def sharded(shared_tree, tmp_path) -> Path:
    """The labels that shards 1/2 and 2/2 made."""
    for i in (1, 2):
        run(shared_tree, tmp_path / 'out', shard=Shard(i, 2))
    return tmp_path / 'out'


@pytest.mark.parametrize(
    'text', ['0/4', '5/4', '1/0', '0/0', '-1/4', 'a/b', '1', '1/', '1/2/3', ' 1/2', '1.0/2', '١/٢', '']
)
def test_wrong_shards(text):
    with pytest.raises(DataError) as info:
        Shard.parse(text)
    assert str(info.value) == f'--shard: expected i/n with i from 1 to n, such as 1/4, got {text!r}'


def test_numbering():
    """1/n … n/n; cards are dealt on from train to val."""
    frames = dict(train=['a', 'b', 'c'], val=['d', 'e'])
    assert str(Shard.parse('2/3')) == '2/3'
    assert Shard.parse('1/3').share(frames) == dict(train=['a'], val=['d'])
    assert Shard.parse('2/3').share(frames) == dict(train=['b'], val=['e'])
    assert Shard.parse('3/3').share(frames) == dict(train=['c'], val=[])
    assert Shard.parse('1/1').share(frames) == frames


@pytest.mark.parametrize('count', range(1, 15))
def test_shares_are_disjoint_complete_and_even(count):
    frames = dict(train=[*range(7)], val=[*range(7, 11)])
    shares = [[*itertools.chain(*Shard(i, count).share(frames).values())] for i in range(1, count + 1)]
    assert sorted(itertools.chain(*shares)) == [*range(11)]
    assert {len(share) for share in shares} <= {11 // count, 11 // count + 1}


@pytest.mark.parametrize('count', [2, 3, 11])
def test_shards_in_turn_then_merged_are_one_run(shared_tree, whole, tmp_path, count):
    """Also eleven shards of nine frames."""
    for i in range(1, count + 1):
        before = len(labels(tmp_path))
        summary = run(shared_tree, tmp_path, shard=Shard(i, count), workers=2 * (count == 3))
        made = len(labels(tmp_path)) - before
        assert (len(summary.label_bytes), summary.kept, sum(summary.frames.values())) == (made, 0, made)
        assert made in (9 // count, 9 // count + 1)
        assert all(name.endswith('.png') for name in contents(tmp_path))
    merged = run(shared_tree, tmp_path, merge=count, workers=2)
    assert contents(tmp_path) == whole
    assert merged.frames == dict(train=6, val=3)
    assert (merged.kept, sorted(merged.label_bytes)) == (9, sorted(path.stat().st_size for path in labels(tmp_path)))


def test_a_shard_leaves_what_others_are_writing(shared_tree, whole, tmp_path):
    run(shared_tree, tmp_path, shard=Shard(1, 2))
    own = labels(tmp_path)[0]
    run(shared_tree, tmp_path, shard=Shard(2, 2))
    foreign = next(path for path in labels(tmp_path) if path.parent == own.parent and path != own)
    theirs, ours = (path.with_name(f'.{path.name}.7.tmp') for path in (foreign, own))
    for path in (theirs, ours):
        path.touch()
    run(shared_tree, tmp_path, shard=Shard(1, 2))
    assert theirs.exists() and not ours.exists()
    run(shared_tree, tmp_path, merge=2)
    assert contents(tmp_path) == whole


def test_a_shard_goes_on_where_it_was_stopped(shared_tree, tmp_path, sharded):
    gone, broken, *others = labels(sharded)
    expected = contents(sharded)
    times = [path.stat().st_mtime_ns for path in others]
    gone.unlink()
    broken.write_bytes(b'')
    kept = [run(shared_tree, sharded, shard=Shard(i, 2)).kept for i in (1, 2)]
    assert sum(kept) == 7
    assert contents(sharded) == expected
    assert [path.stat().st_mtime_ns for path in others] == times


def test_a_shard_that_runs_again_undoes_the_merge(shared_tree, sharded):
    """It may make labels anew; until the next merge no one must take the folder for finished."""
    run(shared_tree, sharded, merge=2)
    run(shared_tree, sharded, shard=Shard(1, 2))
    assert not (label_dir(sharded, 'cvt_io', GRID) / 'grid.json').exists()


def expect_refusal(tree: Path, out_dir: Path, merge: int = 2) -> str:
    """The refusal's text; nothing is made and nothing is mended."""
    before = contents(out_dir)
    with pytest.raises(DataError) as info:
        run(tree, out_dir, merge=merge)
    assert contents(out_dir) == {name: content for name, content in before.items() if not name.endswith('grid.json')}
    return str(info.value).removeprefix(f'{label_dir(out_dir, "cvt_io", GRID)}: ')


def test_merge_names_the_shards_that_are_missing(shared_tree, tmp_path):
    """Nine frames of scenes 0061, 0553 and 0103, in this order: 2/3 owes the second of each."""
    for i in (1, 3):
        run(shared_tree, tmp_path, shard=Shard(i, 3))
    assert expect_refusal(shared_tree, tmp_path, 3) == (
        '3 of 9 labels are not as they should be (3 missing); '
        'run again --shard 2/3 (3 of scene-0061, scene-0553, scene-0103)'
    )
    assert expect_refusal(shared_tree, tmp_path / 'nowhere', 9).endswith(
        '(9 missing); run again --shard 1/9 (1 of scene-0061), --shard 2/9 (1 of scene-0061), '
        '--shard 3/9 (1 of scene-0061), --shard 4/9 (1 of scene-0553), --shard 5/9 (1 of scene-0553) and 4 more'
    )
    assert not (tmp_path / 'nowhere').exists()


def test_merge_looks_into_the_labels(shared_tree, sharded):
    """Frames 2, 3 and 4 in the order of the shards, so labels of 2/2, 1/2 and 2/2."""
    (_, second, third), (fourth, *_) = (
        sorted(sharded.rglob(f'{scene}/*.png')) for scene in ('scene-0061', 'scene-0553')
    )
    second.unlink()
    third.write_bytes(third.read_bytes()[:-30])
    shutil.copy(labels(sharded)[-1], fourth)  # whole, but another frame's
    assert expect_refusal(shared_tree, sharded) == (
        '3 of 9 labels are not as they should be (1 missing, 1 damaged or of another grid, 1 made from other data); '
        'run again --shard 1/2 (1 of scene-0061), --shard 2/2 (2 of scene-0061, scene-0553)'
    )


def test_only_the_merge_needs_images(tree, tmp_path):
    for path in sorted(tree.rglob('*.jpg')):
        path.unlink()
    for i in (1, 2):
        assert len(run(tree, tmp_path / 'out', shard=Shard(i, 2)).label_bytes) == 3
    with pytest.raises(DataError, match='images: 36 of 36 are missing'):
        run(tree, tmp_path / 'out', merge=2)


@pytest.mark.parametrize('options', [dict(shard=Shard(1, 2)), dict(merge=2)])
def test_test_version_has_nothing_to_share(tmp_path, options):
    with pytest.raises(DataError, match=r'^v1\.0-test: it has no labels that shards could share$'):
        convert(tmp_path, 'v1.0-test', progress=False, **options)
