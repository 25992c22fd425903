"""gluon-fg explain relation as users start it."""

import re
import shutil

import numpy as np
import pytest

from gluon_fg.analysis.similarity import ClassSimilarity, Similarity
from gluon_fg.factory import get_model
from gluon_fg.recognizers.u2s.csm import binary_csm, threshold

U2S = 'topheavy_tiny_synthfg_u2s'


@pytest.fixture
def similar(tmp_path):
    """(network, its similarities in a file): a network whose own matrix is a cut of them."""
    net, rng = get_model(U2S), np.random.default_rng(0)
    sparsity = rng.random((24, 6))
    apart = np.abs(sparsity[:, None] - sparsity[None]).mean(axis=2)
    net.set_csm(binary_csm(1 - apart / apart.max(), threshold(1 - apart / apart.max(), 4).alpha))
    net.save_parameters(str(tmp_path / 'net.params'))
    np.savez(tmp_path / 'csm.npz', sparsity=sparsity, videos=480)
    kinds = (Similarity('universal', None, 1 - apart),)
    ClassSimilarity(U2S, 'some videos', tuple(net.classes), net.labels.groups, kinds).save(tmp_path / 'similar.npz')
    return tmp_path


def test_a_page_from_similarities_with_masks_of_clips(command, similar, tiny_synthfg):
    given = ['--model', U2S, '--params', similar / 'net.params', '--similarity', similar / 'similar.npz']
    out = similar / 'relation.html'
    code, text, err = command('explain', 'relation', *given, '--root', tiny_synthfg, '--out', out)
    assert code == 0 and err == '', err
    assert re.search(r'^universal: 277 thresholds\n  its CSM is that of alpha 0\.\d+, n 4\.00\n', text)
    page = out.read_text()
    assert page.count('<div data-clip=') == 24 and 'the very pairs of alpha' in page
    code, _, err = command('explain', 'relation', *given, '--out', out)
    assert code == 2 and 'relation.html is there already; use --force' in err
    elsewhere = ['--dataset', 'folder', '--root', similar / 'gone']
    code, text, _ = command('explain', 'relation', *given, *elsewhere, '--out', out, '--force')
    assert code == 0 and re.search(r'^without clips, as the videos are not at hand: .*gone', text)
    assert 'without clips' in out.read_text() and '<div data-clip=' not in out.read_text()


def test_a_run_has_what_training_counted(command, similar, tmp_path):
    """In its folder, or in that of one of its stages."""
    run = tmp_path / 'run'
    (run / 'specific').mkdir(parents=True)
    config = f'model: {{name: {U2S}}}\ndata: {{dataset: folder, root: {tmp_path / "gone"}}}\n'
    (run / 'config.yaml').write_text(config)
    (run / 'classes.txt').write_text('\n'.join(get_model(U2S).classes) + '\n')
    shutil.copy(similar / 'net.params', run / 'best.params')
    shutil.copy(similar / 'csm.npz', run / 'specific')
    code, text, err = command('explain', 'relation', '--run', run, '--out', tmp_path / 'r.html')
    assert code == 0, err
    assert f'similarities that training counted: {run / "specific" / "csm.npz"}' in text
    assert 'universal after stage 1: 277 thresholds\n  its CSM is that of alpha' in text
    assert '480 training videos' in (tmp_path / 'r.html').read_text()


def test_bad_input_is_one_line(error_line, similar, tmp_path):
    given = ['--model', U2S, '--params', similar / 'net.params']
    for arguments, message in (
        ([*given, '--out', 'a.png'], 'choose a name that ends in .html'),
        (['--out', 'a.html'], 'give either --model NAME or --run FOLDER'),
        ([*given, '--root', tmp_path, '--out', tmp_path / 'a.html'], 'SynthFG needs a folder'),
        (
            [*given, '--similarity', 'none.npz', '--out', tmp_path / 'a.html'],
            'no file of class similarities',
        ),
    ):
        assert message in error_line('explain', 'relation', *arguments)
