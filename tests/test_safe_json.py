"""JSON files of ours, damaged: one line that names the file and says what to do, whoever reads it."""

import json

import pytest

from gluon_fg import safe_json
from gluon_fg.data.features import Manifest
from gluon_fg.data.flow.listing import header_of
from gluon_fg.data.own_lists import read_parting
from gluon_fg.data.packets import load_scan
from gluon_fg.data.survey import Journal
from gluon_fg.data.synthfg.files import read_meta, read_truth
from gluon_fg.errors import UserError
from gluon_fg.evaluation.threshold import load_threshold
from gluon_fg.studies.table import load_results
from gluon_fg.training.config import load_config
from gluon_fg.training.record import public_log, source
from gluon_fg.training.start import read_start

DAMAGED = {
    'empty': b'',
    'cut': b'{"value": 0.5, "refu',
    'zeros': bytes(100),
    'random': bytes(range(256)),
    'another kind': b'[1, 2]',
    'a number': b'3',
    'null': b'null',
    'another': b'{"a": 1}',
    'deep': b'{"a": ' + b'[' * 100_000,
    'digits': b'{"a": ' + b'1' * 500_000 + b'}',
    'Latin-1': '{"Größe": 1}'.encode('latin-1'),
    'a lone surrogate': b'{"value": "\\ud800"}',
    'text for numbers': b'{"value": "x", "refused": [], "videos": null, "dataset": 3, "protocol": {}}',
    'a threshold beyond 1': b'{"value": NaN, "refused": 0, "videos": 1, "dataset": "a", "protocol": "b"}',
}
READERS = {
    'threshold.json': lambda folder: load_threshold(folder),
    'summary.json': lambda folder: source(folder, load_config(), 'best'),
    'environment.json': lambda folder: public_log(folder),
    'start.json': lambda folder: read_start(folder),
    'manifest.json': lambda folder: Manifest.load(folder),
    'split.json': lambda folder: read_parting(folder),
    'meta.json': lambda folder: read_meta(folder),
    'truth.json': lambda folder: read_truth(folder.parent, folder.name),
    'results.json': lambda folder: load_results(folder / 'results.json'),
    'flow.json': lambda folder: header_of(str(folder / 'flow.json'), (folder / 'flow.json').read_bytes()),
}


@pytest.mark.parametrize('name', READERS)
def test_a_damaged_file_is_one_line(name, tmp_path):
    (tmp_path / 'config.yaml').write_text('')
    for kind, data in DAMAGED.items():
        (tmp_path / name).write_bytes(data)
        try:
            READERS[name](tmp_path)
        except UserError as error:
            text = str(error)
            assert str(tmp_path) in text and '\n' not in text and len(text) < len(str(tmp_path)) + 300, kind
        else:  # of a mapping, what is missing may be known otherwise
            assert (name, kind) in {('environment.json', 'another'), ('environment.json', 'a lone surrogate')} or (
                name == 'environment.json' and json.loads(data)
            )


def test_lines_of_a_survey_that_are_damaged_are_left_out(tmp_path):
    for data in DAMAGED.values():
        (tmp_path / 'survey.jsonl').write_bytes(b'\n'.join([data, b'']))
        with Journal(tmp_path / 'survey.jsonl') as journal:
            assert journal.entries() == {}


@pytest.mark.parametrize('data', [*DAMAGED.values(), b'{"version": 1, "pts": [0, [1, 1000000000000]], "size": [1, 1]}'])
def test_a_damaged_scan_is_a_value_error(data):
    with pytest.raises(ValueError):
        load_scan(data.decode('latin-1'))


def test_whole_json_is_read():
    values = {'a': [1, -(10**300), 0.1, 1e-300, True, None], 'ä': '\ud800', 'nan': float('inf')}
    assert safe_json.parse(json.dumps(values)) == values
    assert safe_json.parse(json.dumps('\U0001f600', ensure_ascii=False).encode('utf-16')) == '\U0001f600'
