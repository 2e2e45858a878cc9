"""The shipped catalogue: valid by OpenMMLab's schema, complete, and with the notes' figures as the notes'."""

from __future__ import annotations

import pytest
import yaml
from modelindex.load_model_index import load

from projects.CVT_IO.cvt_io.analysis.notes import notes_table
from projects.CVT_IO.cvt_io.zoo.catalogue import METAFILE, NOTES_IOU, read_catalogue
from projects.CVT_IO.cvt_io.zoo.verify import is_intact
from tests.tiny import REPO

NOTES = [
    *('cvt', 'cvt_io_v1_1', 'cvt_io_v2_1', 'cvt_io_v2_2', 'cvt_io_v2_3', 'cvt_io_v2_4', 'cvt_io_v2_5', 'cvt_io_v2_6'),
    *('cvt_io_v2_7', 'cvt_io_v2_8', 'cvt_io_v2_9'),
]
#: Attributes of a row of the notes' table by the keys of the catalogue.
FIGURES = {
    'Parameters of the original notes (K)': 'params_k',
    'FLOPs of the original notes (G)': 'gflops',
    'Cost-Time of the original notes (ms)': 'cost_ms',
}


@pytest.fixture(scope='module')
def models() -> dict[str, dict]:
    """The models of the file by name, as plain YAML."""
    return {model['Name']: model for model in yaml.safe_load(METAFILE.read_text())['Models']}


def test_the_index_is_valid_for_the_schema():
    index = load(str(REPO / 'model-index.yml'))
    assert index.check(silent=True) == []
    assert [model.name for model in index.models] == list(read_catalogue())
    assert {model.in_collection for model in index.models} == {collection.name for collection in index.collections}


def test_the_schema_would_find_a_mistake(tmp_path):
    (tmp_path / 'README.md').touch()
    wrong = METAFILE.read_text().replace('In Collection: CVT-IO', 'In Collection: CTV-IO', 1)
    (tmp_path / 'metafile.yml').write_text(wrong)
    (tmp_path / 'model-index.yml').write_text('Import: [metafile.yml]')
    assert len(load(str(tmp_path / 'model-index.yml')).check(silent=True)) == 1


def test_all_models_of_the_notes_are_there(models):
    assert [name for name in models if name in notes_table()] == NOTES == list(notes_table())


def test_configs_and_code_exist(models):
    collections = yaml.safe_load(METAFILE.read_text())['Collections']
    for location in [model['Config'] for model in models.values()] + [entry['Code'] for entry in collections]:
        assert (REPO / location).is_file(), location
    assert all(models[name]['Config'] == f'configs/{name}.py' for name in NOTES)


@pytest.mark.parametrize('name', NOTES)
def test_figures_are_the_notes_and_say_so_and_no_weights_are_claimed(models, name):
    row, metadata = notes_table()[name], models[name].get('Metadata', {})
    assert metadata == {key: value for key, field in FIGURES.items() if (value := getattr(row, field)) is not None}
    assert read_catalogue()[name].metrics == ({} if row.iou is None else {NOTES_IOU: row.iou})
    assert 'original notes' in NOTES_IOU and 'Weights' not in models[name]


def test_published_files_of_the_checkout_are_those_of_the_catalogue():
    for entry in read_catalogue().values():
        if entry.weights is not None and '://' not in entry.weights.location:
            assert is_intact(REPO / entry.weights.location, entry.weights), entry.name
