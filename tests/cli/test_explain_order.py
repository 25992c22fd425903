"""gluon-fg explain order as users start it."""

import re

MODELS = ['i3d_tiny_synthfg', 'i3d_tiny_synthfg_cidc']


def test_networks_are_told_side_by_side(command, tiny_synthfg):
    code, text, err = command('explain', 'order', '--models', *MODELS, '--root', tiny_synthfg, '--orders', 3)
    assert code == 0 and err == '', err
    head, _, first, second, foot = text.splitlines()
    assert re.split(r'  +', head) == [
        'network', 'order in F5, %', 'order in F_CIDC, %', 'order in logits, %', 'top-1, %', 'shuffled, %',
    ]  # fmt: skip
    assert first.split()[0] == MODELS[0] and second.split()[0] == MODELS[1] and first.split()[2] == '-'
    for line in (first.split(), second.split()):
        assert float(line[-2]) > 95 > float(line[-1])  # right in order, and less so shuffled
    assert foot == '(24 videos, 3 random orders of each)'


def test_bad_input_is_one_line(error_line, tiny_synthfg):
    def line(*words):
        return error_line('explain', 'order', '--models', MODELS[0], '--root', tiny_synthfg, *words)

    assert 'orders must be at least 2' in line('--orders', 1)
    assert 'one for each' in line('--params', 'a', 'b')
