"""Untrusted checkpoints, pickles and config paths, given to the tools themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from mmengine.runner import Runner

from projects.CVT_IO.cvt_io.apis import CVTIOInferencer
from projects.CVT_IO.cvt_io.apis.inputs import open_source
from projects.CVT_IO.cvt_io.apis.model import find_model
from projects.CVT_IO.cvt_io.datasets import CVTIONuScenesDataset
from projects.CVT_IO.cvt_io.errors import DataError
from projects.CVT_IO.cvt_io.fileio.checkpoint import CheckpointError, read_checkpoint
from projects.CVT_IO.cvt_io.runtime.config import ConfigError, load_config
from tests.audit import is_network, watch
from tests.safety import payloads
from tests.tiny import REPO, TOY_CONFIG
from tests.tools.in_process import run_tool
from tests.web_server import serve

REFUSED = 'found a Python object (os.mkdir), which is not loaded'


@pytest.fixture
def victim(tmp_path) -> Iterator[Path]:
    """A folder that must not be there when the test ends."""
    yield tmp_path / 'victim'
    assert not (tmp_path / 'victim').exists()


@pytest.fixture(params=['legacy', 'zip'])
def checkpoint(request, tmp_path, victim) -> Path:
    """One that makes the folder when it is unpickled."""
    gadgets = payloads.Gadgets(victim, 2)
    pickled = dict(payloads.placements(payloads.call(gadgets.name('os', 'mkdir'), payloads.text(str(victim))), gadgets))
    path = tmp_path / 'evil.pth'
    if request.param == 'zip':
        return payloads.zipped(path, pickled['beside weights'])
    path.write_bytes(payloads.legacy(pickled['beside weights']))
    return path


@pytest.fixture
def served(tmp_path, monkeypatch) -> Iterator[str]:
    """URL of the test's folder, on this machine."""
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    with serve(tmp_path) as url:
        yield url


def train(toy_root: Path, work_dir: Path, *words: str, **options: object) -> str | int | None:
    """What training ends with, before it begins."""
    given = {'data_root': toy_root, 'model.backbone.init_cfg': None} | options
    settings = [f'{key}={value}' for key, value in given.items()]
    return run_tool('tools/train.py', TOY_CONFIG, '--work-dir', work_dir, *words, '--cfg-options', *settings)


def test_training_does_not_start_from_it(checkpoint, toy_root, tmp_path):
    assert REFUSED in train(toy_root, tmp_path / 'work', '--resume', str(checkpoint))
    assert REFUSED in train(toy_root, tmp_path / 'work', load_from=checkpoint)
    checkpoint.rename(tmp_path / 'iter_1.pth')
    assert REFUSED in train(toy_root, tmp_path, '--resume')


def test_training_fetches_no_checkpoint(checkpoint, served, toy_root, tmp_path):
    """mmengine would fetch and unpickle it: its loader of URLs passes PyTorch's guard by."""
    url = f'{served}/evil.pth'
    with watch() as seen:
        for message in (train(toy_root, tmp_path, '--resume', url), train(toy_root, tmp_path, load_from=url)):
            assert message == f'error: {url}: expected a file, found a URL; download it first'
    assert [event for event in seen if is_network(event)] == []


def test_a_pointer_to_a_url_is_not_followed(served, toy_root, tmp_path):
    """``last_checkpoint`` of a stranger's work folder, which mmengine believes."""
    (tmp_path / 'last_checkpoint').write_text(f'{served}/evil.pth')
    with mock.patch.object(Runner, 'from_cfg') as from_cfg:
        assert train(toy_root, tmp_path, '--resume') is None
    (cfg,) = from_cfg.call_args.args
    assert not cfg.resume and cfg.load_from is None


@pytest.mark.parametrize('url', ['https://host/x.pth', 's3://bucket/x.pth', 'torchvision://resnet50', 'file:///x.pth'])
def test_urls_are_no_checkpoints(url):
    with (
        watch() as seen,
        pytest.raises(CheckpointError, match=f'^{url}: expected a file, found a URL; download it first$'),
    ):
        read_checkpoint(url)
    assert seen == []


@pytest.mark.parametrize(
    ('tool', 'words'),
    [
        ('tools/test.py', ()),
        ('tools/analysis_tools/eval_report.py', ('--out', 'report')),
        ('tools/visualize.py', ('--scene', 'scene-0061', '--stitched', 'x.png')),
        ('tools/attention_explorer.py', ('--out', 'x.html')),
        ('tools/deployment/export_onnx.py', ('x.onnx',)),
    ],
)
def test_no_tool_loads_it(checkpoint, toy_root, tmp_path, monkeypatch, tool, words):
    monkeypatch.chdir(tmp_path)
    options = ('--cfg-options', f'data_root={toy_root}')
    if tool == 'tools/deployment/export_onnx.py':
        options = ()
    if '--scene' in words:
        options += ('val_dataloader.dataset.ann_file=cvt_io_infos_train.json',)
    assert REFUSED in str(run_tool(tool, TOY_CONFIG, checkpoint, *words, *options))


def test_no_converter_publishes_it(checkpoint, tmp_path):
    assert REFUSED in run_tool('tools/model_converters/publish_model.py', checkpoint, tmp_path / 'out.pth')
    words = (checkpoint, tmp_path / 'out.pth', '--config', TOY_CONFIG)
    message = run_tool('tools/model_converters/convert_original.py', *words)
    assert message is not None and message.startswith(f'error: {checkpoint}: ')


def test_the_inferencer_does_not_load_it(checkpoint):
    with pytest.raises(CheckpointError, match='which is not loaded'):
        CVTIOInferencer(str(TOY_CONFIG), str(checkpoint), device='cpu')


@pytest.mark.parametrize('suffix', ['.pkl', '.pickle', '.yml', '.yaml', '.json'])
def test_a_data_set_reads_nothing_but_json(tmp_path, victim, suffix):
    """mmengine's own data sets unpickle infos whose name ends so, and run the tags of YAML."""
    path = tmp_path / f'infos{suffix}'
    if suffix in ('.yml', '.yaml'):
        path.write_text(f'data_list: !!python/object/apply:os.mkdir ["{victim}"]\n')
    else:
        gadgets = payloads.Gadgets(victim, 4)
        (_, value), *_ = gadgets
        path.write_bytes(dict(payloads.placements(value, gadgets))['in a dict'])
    with pytest.raises(DataError, match=f'^{path}: '):
        CVTIONuScenesDataset(str(path), str(tmp_path), dict(size=(48, 48), metres=(48, 48)), with_labels=False)


@pytest.mark.parametrize('path', ['{}/x.json', '{}/x.pkl', 's3://bucket/x.json', 'file:///etc/x.json'])
def test_urls_are_no_inputs(served, tmp_path, path):
    """Neither of the inferencer nor of a data set, which mmengine's own would fetch."""
    url, cfg = path.format(served), load_config(str(TOY_CONFIG))
    with watch() as seen:
        with pytest.raises(DataError):
            open_source(url, cfg)
        with pytest.raises(DataError):
            CVTIONuScenesDataset(url, str(tmp_path), dict(size=(48, 48), metres=(48, 48)))
    assert [event for event in seen if is_network(event)] == []


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('{served}/evil.py', 'no such config'),
        ('file://{folder}/evil.py', 'no such config'),
        ('{folder}', 'no such config'),
        ('{folder}/..', 'no such config'),
        ('{folder}/evil.py\0.py', 'no such config'),
        ('{folder}/none/../../evil.py', 'no such config'),
        ('/dev/null', 'no such config'),
        ('{folder}/text.py', 'SyntaxError'),
        ('{folder}/evil.pth', 'Only py/yml'),
        ('{folder}/based.py', 'FileNotFoundError'),
        ('{folder}/broken.yml', 'ParserError|ScannerError|TypeError'),
        ('{folder}/list.json', 'AttributeError'),
    ],
)
def test_paths_that_are_no_configs(tmp_path, served, path, message):
    (tmp_path / 'evil.py').write_text('raise SystemExit("has run")')
    (tmp_path / 'text.py').write_text('hello, this is a text\n')
    (tmp_path / 'evil.pth').write_bytes(b'\x80\x02.')
    (tmp_path / 'based.py').write_text(f'_base_ = "{served}/evil.py"')
    (tmp_path / 'broken.yml').write_text('a: [')
    (tmp_path / 'list.json').write_text('[1]')
    with watch() as seen, pytest.raises(ConfigError, match=message) as error:
        load_config(path.format(folder=tmp_path, served=served))
    assert [event for event in seen if is_network(event)] == []
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'names',
    [[name] for name in ('../evil', '/etc/passwd', 'configs/cvt', '..', 'http://host/cvt_io_v2_2_toy', '', 'a\0b')]
    + [[REPO / 'configs/cvt.py', name] for name in ('../evil', 'http://host/toy', 'a/b')],
)
def test_names_that_are_no_models_or_weights(names):
    with watch() as seen, pytest.raises(DataError, match='no such model in the zoo'):
        find_model(*names)
    assert [event for event in seen if is_network(event)] == []
