"""The table of scaling on paper against numbers worked out by hand, and against what others measured."""

import dataclasses
import importlib.util
import re
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / 'scripts' / 'scaling_table.py'
spec = importlib.util.spec_from_file_location('scaling_table', SCRIPT)
scaling = importlib.util.module_from_spec(spec)
sys.modules['scaling_table'] = scaling  # dataclasses look their module up
spec.loader.exec_module(scaling)

# 2 clips x 5 passes, 3 x 100 GFLOPs each on 10 TFLOP/s at 30 %: 1 s. 100 M gradients are 400 MB.
SIMPLE = scaling.Setting(
    gflops=100, parameters=100, clips=2, accumulate=5, device_tflops=10, utilization=0.3, gpus=8, local_gbytes=10,
    node_gbps=8, hidden=0, cores=10, decode=0.05,
)  # fmt: skip


@pytest.mark.parametrize(
    'count, compute, reduce, decode, clips, limit',
    [
        (1, 1.0, 0.0, 0.05, 10.0, 'computing'),
        (2, 1.0, 0.04, 0.1, 20 / 1.04, 'computing'),  # 2 x 1/2 x 0.4 GB over 10 GB/s
        (8, 1.0, 0.07, 0.4, 80 / 1.07, 'computing'),  # 2 x 7/8 x 0.4 GB
        (16, 1.0, 0.75, 0.4, 160 / 1.75, 'computing'),  # 2 x 15/16 x 0.4 GB over 8 Gbit/s = 1 GB/s
    ],
)
def test_an_update_takes_what_was_worked_out_by_hand(count, compute, reduce, decode, clips, limit):
    row = scaling.row(count, SIMPLE)
    assert (row.compute, row.reduce, row.decode) == pytest.approx((compute, reduce, decode))
    assert row.clips_per_second == pytest.approx(clips)
    assert row.efficiency == pytest.approx(clips / (10 * count))
    assert row.limit == limit


def test_what_takes_the_most_is_the_limit():
    assert scaling.row(8, dataclasses.replace(SIMPLE, cores=2)).limit == 'decoding'  # 8 x 10 x 0.05 / 2 = 2 s
    assert scaling.row(8, dataclasses.replace(SIMPLE, cores=2)).clips_per_second == pytest.approx(40)
    assert scaling.cores_needed(8, SIMPLE) == 4  # 80 clips of 0.05 core-seconds in 1 s
    assert scaling.row(16, dataclasses.replace(SIMPLE, node_gbps=4)).limit == 'all-reduce'  # 1.5 s
    hidden = scaling.row(16, dataclasses.replace(SIMPLE, node_gbps=4, hidden=1.0))
    assert hidden.limit == 'computing' and hidden.efficiency == 1


@pytest.mark.parametrize('count, images', [(16, 6027), (32, 12030), (64, 22346)])
def test_published_throughput_lies_between_nothing_and_all_hidden(count, images):
    """ResNet-50 in float32 on eight V100 a machine with 25 Gbit/s, horovod/horovod pull request 542, ring all-reduce.

    One GPU is an eighth of its 3,072 images/s on eight; a batch of 128 is assumed.
    """
    setting = scaling.Setting(
        gflops=1, parameters=25.6, clips=128, accumulate=1, device_tflops=3 * 384e9 / 1e12, utilization=1,
        local_gbytes=150, node_gbps=25, decode=1e-6,
    )  # fmt: skip
    nothing = scaling.row(count, setting).clips_per_second
    everything = scaling.row(count, dataclasses.replace(setting, hidden=1.0)).clips_per_second
    assert everything == pytest.approx(384 * count)
    assert nothing < images < everything


def test_the_command_prints_a_line_for_each_count_and_refuses_what_cannot_be(capsys):
    assert scaling.main(['--gflops', '100', '--parameters', '100']) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split('|')[1].strip() for line in printed[2:]] == ['1', '2', '4', '8', '16', '32', '64']
    for words in (['--hidden', '1.5'], ['--utilization', '0'], ['--cores', '0'], ['--gflops', 'many']):
        with pytest.raises(SystemExit) as refused:
            scaling.main(['--gflops', '100', '--parameters', '100', *words])
        assert refused.value.code == 2 and f'argument {words[0]}' in capsys.readouterr().err


def test_the_page_shows_what_the_command_prints(capsys):
    page = (SCRIPT.parents[1] / 'docs/scaling.md').read_text()
    command = re.search(r'^python scripts/scaling_table.py (.+)$', page, re.M).group(1)
    assert scaling.main(command.split()) == 0
    assert f'\n\n{capsys.readouterr().out}\n' in page
