"""gluon-fg explain similarity and weights as users start them."""

import json
import re

import cv2
import numpy as np

from gluon_fg.analysis.similarity import ClassSimilarity
from gluon_fg.data import synthfg
from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model

U2S, ONE_PASS = 'topheavy_tiny_synthfg_u2s', 'topheavy_tiny_synthfg'


def score_file(path, model):
    net = get_model(model)
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(24), 5)
    p = rng.random((120, len(net.branch_names), 24)).astype(np.float32)
    p[np.arange(120), :, labels] += rng.random(24)[labels][:, None]
    p /= p.sum(axis=2, keepdims=True)
    ids = tuple(map(str, range(120)))
    Scores(ids, labels, p, net.branch_names, net.classes, net.labels.groups, 'p', {}, model, 'synthfg').save(path)
    return path


def test_from_networks_to_the_picture_of_similarity(command, u2s_params, tiny_synthfg, tmp_path):
    for name in (ONE_PASS, U2S):
        out = tmp_path / f'{name}.npz'
        arguments = ['--model', name, '--params', u2s_params[name], '--root', tiny_synthfg, '--split', 'val']
        arguments += ['--out', out]
        code, text, err = command('explain', 'similarity', *arguments)
        assert code == 0 and err == '', err
        for kind in ('features',) if name == ONE_PASS else ('universal', 'specific', 'U2S'):
            assert re.search(rf'^{kind}: most similar classes.*\n  \w+: .* / \w+: .*  \d\.\d{{3}}$', text, re.M)
        assert f'wrote {out} and {tmp_path / name}.png' in text
    found = ClassSimilarity.load(tmp_path / f'{U2S}.npz')
    assert found.model == U2S and found.source == '24 videos of synthfg val' and len(found.kinds) == 3
    files = [tmp_path / f'{name}.npz' for name in (ONE_PASS, U2S)]
    scores = [score_file(tmp_path / f'{name}_scores.npz', name) for name in (ONE_PASS, U2S)]
    arguments = ['--similarity', *files, '--scores', *scores, '--out', tmp_path / 'relation.png', '--scale', 'shared']
    code, text, err = command('explain', 'similarity', *arguments)
    assert code == 0 and err == '', err
    rows = [line for line in text.splitlines() if line.startswith(ONE_PASS)]
    assert [row.split('  ')[0] for row in rows] == [ONE_PASS] + [
        f'{U2S}: {k}' for k in ('universal', 'specific', 'U2S')
    ]
    assert all(re.search(r' 24 .* -?\d\.\d\d \(-?\d\.\d\d to -?\d\.\d\d\)$', row) for row in rows)
    for name in ('relation', ONE_PASS, U2S):
        assert cv2.imread(str(tmp_path / f'{name}.png')).std() > 10


def test_the_networks_own_matrix(command, u2s_params, tmp_path):
    arguments = ['--model', U2S, '--params', u2s_params[U2S], '--own', '--out', tmp_path / 'csm.npz']
    code, text, _ = command('explain', 'similarity', *arguments)
    assert code == 0 and 'CSM: most similar classes' in text
    (one,) = ClassSimilarity.load(tmp_path / 'csm.npz').kinds
    assert one.kind == 'CSM' and one.matrix.sum() == 24 * 4


def test_weights_of_two_networks(command, u2s_params, tmp_path):
    arguments = ['--models', U2S, U2S, '--params', u2s_params[U2S], u2s_params[U2S], '--titles', 'without', 'with']
    code, text, err = command('explain', 'weights', *arguments, '--out', tmp_path / 'w.png')
    assert code == 0 and err == '', err
    rows = [line.split() for line in text.splitlines() if line.startswith('with')]
    assert [row[:2] for row in rows] == [['without', '36'], ['with', '36']] and rows[0][2:] == rows[1][2:]
    assert cv2.imread(str(tmp_path / 'w.png')).std() > 10


def test_what_training_counted(command, u2s_params, tmp_path):
    sparsity, out = np.random.default_rng(0).random((24, 6)), tmp_path / 'similar.npz'
    np.savez(tmp_path / 'counted.npz', sparsity=sparsity, videos=480)
    arguments = ['--model', U2S, '--params', u2s_params[U2S], '--sparsity', tmp_path / 'counted.npz', '--out', out]
    code, text, err = command('explain', 'similarity', *arguments)
    assert code == 0 and 'universal after stage 1: most similar classes' in text, err
    found = ClassSimilarity.load(out)
    assert found.source == '480 training videos' and len(found.kinds) == 1


def test_bad_input_is_one_line(error_line, u2s_params, tmp_path):
    there, scores = tmp_path / 'there.png', score_file(tmp_path / 'scores.npz', ONE_PASS)
    there.write_text('mine')
    u2s = ['--model', U2S, '--params', u2s_params[U2S]]
    for words, arguments, message in (
        ('similarity', [*u2s, '--csm', '--out', 'a.npz'], 'no option --csm; --sparsity FILE reads what training'),
        ('similarity', [*u2s, '--own', '--sparsity', 'x', '--out', 'a.npz'], 'two sources'),
        ('similarity', [*u2s, '--similarity', 'x', '--out', 'a.png'], 'give either a model to count for'),
        ('similarity', [*u2s, '--out', tmp_path / 'a.png'], 'choose a name that ends so'),
        ('similarity', [*u2s, '--out', tmp_path / 'there.npz'], 'there.png is there already; use --force'),
        ('similarity', [*u2s, '--own', '--root', 'x', '--out', tmp_path / 'a.npz'], '--own counts no videos'),
        ('similarity', [*u2s, '--root', tmp_path, '--out', tmp_path / 'a.npz'], 'SynthFG needs a folder'),
        (
            'similarity',
            ['--model', ONE_PASS, '--params', u2s_params[ONE_PASS], '--own', '--out', tmp_path / 'a.npz'],
            'has no matrix that relates its classes',
        ),
        ('similarity', ['--similarity', 'a', '--scores', 'b', 'c', '--out', 'o.png'], '1 files of simil'),
        ('similarity', ['--similarity', 'a', '--scores', 'b', '--out', there], 'there.png is there already'),
        (
            'similarity',
            ['--similarity', scores, '--scores', scores, '--out', 'o.png'],
            'not a file of `gluon-fg explain similarity`|choose a file',
        ),
        ('similarity', ['--similarity', 'a.png', '--scores', scores, '--out', 'a.png'], 'is one of the given files'),
        ('weights', ['--models', U2S, '--out', there], 'there.png is there already'),
        ('weights', ['--models', U2S, '--titles', 'a', 'b', '--out', 'o.png'], '2 titles for 1 mod'),
        (
            'weights',
            ['--models', ONE_PASS, '--params', u2s_params[ONE_PASS], '--out', 'o.png'],
            'has no masks of classes',
        ),
    ):
        line = error_line('explain', words, *arguments)
        assert re.search(message, line), line
    assert there.read_text() == 'mine'


def test_what_the_gate_is_good_for(command, u2s_params, tiny_synthfg, monkeypatch):
    arguments = ['--model', U2S, '--params', u2s_params[U2S], '--root', tiny_synthfg, '--split', 'val']
    code, text, err = command('explain', 'gate', *arguments)
    assert code == 0 and err == '', err
    first, header, fused, specific = text.splitlines()
    assert first == '24 videos of synthfg val (train_time): predictions changed by a flat gate, in %'
    assert header.split() == ['branch', 'changed', 'top-1', 'flat']
    code, text, _ = command('explain', 'gate', *arguments, '--json', '--batch-size', '5')
    found = json.loads(text)
    assert code == 0 and found['protocol'] == 'train_time' and set(found['branches']) == {'fused', 'specific'}
    for name, row in (('fused', fused), ('specific', specific)):
        effect = found['branches'][name]
        numbers = (effect['changed'], effect['top1'], effect['flat_top1'])
        assert row.split() == [name, *(f'{100 * number:.1f}' for number in numbers)]
    monkeypatch.setattr(synthfg, 'ensure', None)  # it is said before videos are rendered, which takes a minute
    code, text, err = command('explain', 'gate', '--model', ONE_PASS, '--params', u2s_params[ONE_PASS])
    assert code == 2 and 'topheavy_tiny_synthfg has no gate over its features' in err and err.count('\n') == 1
