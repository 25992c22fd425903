"""The scripts of the charts of U2S (similarity of classes and of weights, accuracy over n) as users start them."""

import re

import cv2
import numpy as np

from gluon_fg.analysis.similarity import ClassSimilarity
from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model

U2S, ONE_PASS = 'topheavy_tiny_synthfg_u2s', 'topheavy_tiny_synthfg'


def score_file(path, model):
    net = get_model(model)
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(24), 5)
    p = rng.random((120, len(net.branch_names), 24)).astype(np.float32)
    p[np.arange(120), :, labels] += rng.random(24)[labels][:, None]
    ids = tuple(map(str, range(120)))
    Scores(ids, labels, p, net.branch_names, net.classes, net.labels.groups, 'p', {}, model, 'synthfg').save(path)
    return path


def test_from_networks_to_the_picture_of_similarity(run_script, script_output, u2s_params, tiny_synthfg, tmp_path):
    for name in (ONE_PASS, U2S):
        out = tmp_path / f'{name}.npz'
        arguments = ['--model', name, '--params', u2s_params[name], '--root', tiny_synthfg, '--split', 'val']
        arguments += ['--out', out]
        if name == ONE_PASS:
            done = run_script('class_similarity.py', *arguments)
            code, text, err = done.returncode, done.stdout, done.stderr
        else:
            code, text, err = script_output('class_similarity.py', arguments)
        assert code == 0 and err == '', err
        for kind in ('features',) if name == ONE_PASS else ('universal', 'specific', 'U2S'):
            assert re.search(rf'^{kind}: most similar classes.*\n  \w+: .* / \w+: .*  \d\.\d{{3}}$', text, re.M)
        assert f'wrote {out} and {tmp_path / name}.png' in text
    found = ClassSimilarity.load(tmp_path / f'{U2S}.npz')
    assert found.model == U2S and found.source == '24 videos of synthfg val' and len(found.kinds) == 3
    files = [tmp_path / f'{name}.npz' for name in (ONE_PASS, U2S)]
    scores = [score_file(tmp_path / f'{name}_scores.npz', name) for name in (ONE_PASS, U2S)]
    arguments = ['--similarity', *files, '--scores', *scores, '--out', tmp_path / 'relation.png', '--scale', 'shared']
    code, text, err = script_output('plot_similarity.py', arguments)
    assert code == 0 and err == '', err
    rows = [line for line in text.splitlines() if line.startswith(ONE_PASS)]
    assert [row.split('  ')[0] for row in rows] == [ONE_PASS] + [
        f'{U2S}: {k}' for k in ('universal', 'specific', 'U2S')
    ]
    assert all(re.search(r' 24 .* -?\d\.\d\d \(-?\d\.\d\d to -?\d\.\d\d\)$', row) for row in rows)
    for name in ('relation', ONE_PASS, U2S):
        assert cv2.imread(str(tmp_path / f'{name}.png')).std() > 10


def test_the_networks_own_matrix(script_output, u2s_params, tmp_path):
    arguments = ['--model', U2S, '--params', u2s_params[U2S], '--csm', '--out', tmp_path / 'csm.npz']
    code, text, _ = script_output('class_similarity.py', arguments)
    assert code == 0 and 'CSM: most similar classes' in text
    (one,) = ClassSimilarity.load(tmp_path / 'csm.npz').kinds
    assert one.kind == 'CSM' and one.matrix.sum() == 24 * 4


def test_weights_of_two_networks(script_output, u2s_params, tmp_path):
    arguments = ['--models', U2S, U2S, '--params', u2s_params[U2S], u2s_params[U2S], '--titles', 'without', 'with']
    code, text, err = script_output('plot_weight_similarity.py', [*arguments, '--out', tmp_path / 'w.png'])
    assert code == 0 and err == '', err
    rows = [line.split() for line in text.splitlines() if line.startswith('with')]
    assert [row[:2] for row in rows] == [['without', '36'], ['with', '36']] and rows[0][2:] == rows[1][2:]
    assert cv2.imread(str(tmp_path / 'w.png')).std() > 10


def test_bad_input_is_one_line(error_line, u2s_params, tmp_path):
    there, scores = tmp_path / 'there.png', score_file(tmp_path / 'scores.npz', ONE_PASS)
    there.write_text('mine')
    u2s = ['--model', U2S, '--params', u2s_params[U2S]]
    for script, arguments, message in (
        ('class_similarity.py', [*u2s, '--out', tmp_path / 'a.png'], 'choose a name that ends so'),
        ('class_similarity.py', [*u2s, '--out', tmp_path / 'there.npz'], 'there.png is there already; use --force'),
        ('class_similarity.py', [*u2s, '--csm', '--root', 'x', '--out', tmp_path / 'a.npz'], '--csm counts no videos'),
        ('class_similarity.py', [*u2s, '--root', tmp_path, '--out', tmp_path / 'a.npz'], 'SynthFG needs a folder'),
        (
            'class_similarity.py',
            ['--model', ONE_PASS, '--params', u2s_params[ONE_PASS], '--csm', '--out', tmp_path / 'a.npz'],
            'has no category similarity matrix',
        ),
        ('plot_similarity.py', ['--similarity', 'a', '--scores', 'b', 'c', '--out', 'o.png'], '1 files of simil'),
        ('plot_similarity.py', ['--similarity', 'a', '--scores', 'b', '--out', there], 'there.png is there already'),
        (
            'plot_similarity.py',
            ['--similarity', scores, '--scores', scores, '--out', 'o.png'],
            'written by class_simil',
        ),
        ('plot_similarity.py', ['--similarity', 'a', '--scores', scores, '--out', scores], 'is one of the given files'),
        ('plot_weight_similarity.py', ['--models', U2S, '--out', there], 'there.png is there already'),
        ('plot_weight_similarity.py', ['--models', U2S, '--titles', 'a', 'b', '--out', 'o.png'], '2 titles for 1 mod'),
        (
            'plot_weight_similarity.py',
            ['--models', ONE_PASS, '--params', u2s_params[ONE_PASS], '--out', 'o.png'],
            'has no mask network',
        ),
    ):
        line = error_line(script, arguments)
        assert re.search(message, line), line
    assert there.read_text() == 'mine'
