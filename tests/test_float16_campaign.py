"""Whether `make float16-test` sees what it is to see; the trainings themselves take minutes and are not run here."""

import json

import pytest
from campaigns.float16 import compared

from gluon_fg.gpu_check.trained import Training, read

LEVEL = Training([2.0] * 210, [1, 2], 256.0)


@pytest.mark.parametrize(
    'half, right',
    [
        (Training([9.0] * 160 + [2.09] * 50, [1, 2], 256.0), True),
        (Training([2.0] * 160 + [2.11] * 50, [1, 2], 256.0), False),
        (Training([None] + [2.0] * 209, [1, 2], 256.0), False),
        (Training([2.0] * 160 + [1.8] * 50, [1, 2], 256.0), False),
    ],
)
def test_only_a_finite_run_within_5_percent_is_right(half, right):
    row = compared(half, Training([1.0] * 210, [], 1.0), LEVEL)
    assert row['right'] is right
    assert (row['float32'], row['float32_late'], row['left_out']) == (1.0, 2.0, [1, 2])


def test_stages_are_read_as_a_single_run_and_a_missing_loss_is_none(tmp_path):
    for stage, records in (
        ('universal', [{'skipped': 1, 'loss_scale': 32768.0}, {'loss': 3.0, 'skipped': 1, 'loss_scale': 32768.0}]),
        ('joint', [{'loss': 2.0, 'skipped': 0, 'loss_scale': 65536.0}, {'loss': 1.0, 'skipped': 1, 'loss_scale': 2.0}]),
    ):
        (tmp_path / stage).mkdir()
        events = [*({'event': 'train', **record} for record in records), {'event': 'val'}]
        lines = [json.dumps({'step': 1, **event}) for event in events]
        (tmp_path / stage / 'metrics.jsonl').write_text('\n'.join(lines) + '\n')
    (tmp_path / 'metrics.jsonl').write_text('\n'.join(lines) + '\n')  # of the whole run: not counted once more
    told = read(tmp_path)
    assert told.losses == [None, 3.0, 2.0, 1.0]
    assert told.left_out == [1, 4] and told.scale == 2.0
