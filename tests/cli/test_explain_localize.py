"""gluon-fg explain localize, confusion and filters as a user starts them."""

import json
import shutil

import cv2
import numpy as np
import pytest

from gluon_fg.analysis.localization import localize
from gluon_fg.data import synthfg
from gluon_fg.errors import UserError
from gluon_fg.evaluation.score import Scores
from gluon_fg.factory import get_model
from gluon_fg.visualization.localized_videos import Wanted, localize_videos


@pytest.fixture(scope='module')
def params(tmp_path_factory):
    path = tmp_path_factory.mktemp('params') / 'tiny.params'
    get_model('i3d_tiny_synthfg_dfb').save_parameters(str(path))
    return path


@pytest.fixture(scope='module')
def net(params):
    net = get_model('i3d_tiny_synthfg_dfb')
    net.load_parameters(str(params))
    return net


@pytest.fixture(scope='module')
def videos(tiny_synthfg):
    return [tiny_synthfg / 'test' / f'{i:05d}.mp4' for i in (0, 9, 13)]


def frames_of(path):
    return int(cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT))


def test_pictures_of_good_videos_beside_a_bad_one(run_command, command, videos, params, net, tmp_path):
    broken, out = tmp_path / 'broken.mp4', tmp_path / 'pictures'
    broken.write_bytes(videos[0].read_bytes()[:700])
    done = run_command(
        'explain',
        'localize',
        videos[0],
        broken,
        videos[1],
        '--model',
        'i3d_tiny_synthfg_dfb',
        '--params',
        params,
        '--out',
        out,
    )
    assert done.returncode == 2 and 'Traceback' not in done.stderr, done.stderr
    assert f'error: {broken}: ' in done.stderr and '1 of 3 videos' in done.stderr
    assert sorted(p.name for p in out.iterdir()) == ['00000.mp4', '00000.png', '00009.mp4', '00009.png', 'peaks.json']
    for stem in ('00000', '00009'):
        assert cv2.imread(str(out / f'{stem}.png')) is not None and frames_of(out / f'{stem}.mp4') == 8
    record = json.loads((out / 'peaks.json').read_text())
    assert record['model'] == 'i3d_tiny_synthfg_dfb' and [v['video'] for v in record['videos']] == [
        str(v) for v in videos[:2]
    ]
    for entry in record['videos']:
        predicted = entry['predictions'][0]['class']
        printed = done.stdout.split(f'{entry["video"]}: predicted ')[1]
        expected = localize(net, entry['video'], classes=[predicted], top=3)
        assert [p['filter'] for p in entry['peaks']] == [p.filter for p in expected]
        for peak in entry['peaks']:  # is a moment of its own tube
            (at,) = [moment for moment in peak['tube'] if moment['frame'] == peak['frame']]
            assert at['box'] == pytest.approx(peak['box']) and at['score'] == pytest.approx(peak['value'])
        for found, peak in zip(entry['peaks'], expected):
            assert (found['class'], found['frame'], found['box']) == (predicted, peak.frame, list(peak.box))
            assert found['value'] == pytest.approx(peak.value, rel=1e-5)
            line = next(row for row in printed.splitlines() if f'filter {peak.filter} ' in row)
            assert predicted in line and f'frame {peak.frame} ' in line and f'{peak.value:.3f}' in line
    before = {p: p.stat().st_mtime_ns for p in out.iterdir()}
    arguments = ('explain', 'localize', videos[0], '--model', 'i3d_tiny_synthfg_dfb', '--params', params, '--out', out)
    code, _, err = command(*arguments)
    assert code == 2 and len(err.strip().splitlines()) == 1 and '--force' in err
    assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == before
    code, _, err = command(*arguments, '--force', '--class', 'DISC: ring', '--top', '2')
    assert code == 0, err
    (entry,) = json.loads((out / 'peaks.json').read_text())['videos']
    assert [p['class'] for p in entry['peaks']] == ['disc: ring'] * 2


def test_one_filter_over_several_videos(net, videos, tmp_path):
    done = list(localize_videos(net, videos, tmp_path, Wanted(filter=31)))
    assert [[p.filter for p in one.located.peaks] for one in done] == [[31]] * 3
    assert (tmp_path / 'filter_31.png').exists()
    entries = json.loads((tmp_path / 'peaks.json').read_text())['videos']
    assert [entry['peaks'][0]['class'] for entry in entries] == [synthfg.CLASSES[6]] * 3


def test_videos_of_one_name_keep_apart(net, videos, tmp_path):
    paths = []
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        paths.append(shutil.copy(videos[0], tmp_path / folder / 'clip.mp4'))
    list(localize_videos(net, paths, tmp_path / 'out', Wanted(name=0)))
    names = sorted(p.name for p in (tmp_path / 'out').iterdir())
    assert names == ['a_clip.mp4', 'a_clip.png', 'b_clip.mp4', 'b_clip.png', 'peaks.json']


def test_a_folder_of_pictures_is_never_its_own_input(net, videos, tmp_path):
    """The film would take the video's place: a user's file, not one of ours."""
    mine = shutil.copy(videos[0], tmp_path / 'clip.mp4')
    for force in (False, True):
        with pytest.raises(UserError, match='clip.mp4'):
            list(localize_videos(net, [mine], tmp_path, force=force))
    assert [p.name for p in tmp_path.iterdir()] == ['clip.mp4'] and (tmp_path / 'clip.mp4').read_bytes() == videos[
        0
    ].read_bytes()


@pytest.mark.parametrize(
    'options, match',
    [
        (dict(name='disc: rin'), "unknown class 'disc: rin'; did you mean 'disc: ring'"),
        (dict(filter=120), 'filter 120 does not exist.*0 to 119'),
        (dict(filter=-1), 'filter -1'),
        (dict(filter=1, name=0), 'not both'),
        (dict(top=0), 'top'),
        (dict(cells=0), 'more than 0'),
    ],
)
def test_mistakes_are_said_before_anything_is_written(net, videos, tmp_path, options, match):
    with pytest.raises(UserError, match=match):
        list(localize_videos(net, videos, tmp_path / 'out', Wanted(**options)))
    assert not (tmp_path / 'out').exists()


def test_networks_without_filters_and_files_in_the_way(net, videos, tmp_path):
    with pytest.raises(UserError, match='i3d_tiny_synthfg has no class filters'):
        list(localize_videos(get_model('i3d_tiny_synthfg'), videos, tmp_path / 'out'))
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='is a file'):
        list(localize_videos(net, videos, tmp_path / 'file'))
    with pytest.raises(UserError, match='no video'):
        list(localize_videos(net, [], tmp_path / 'out'))


def test_confusion_picture(command, tmp_path):
    paths = []
    for number, name in enumerate(('baseline', 'better')):
        probabilities = np.random.default_rng(number).dirichlet(np.ones(24), (48, 1)).astype(np.float32)
        scores = Scores(
            ids=tuple(f'{i}.mp4' for i in range(48)),
            labels=np.arange(48) % 24,
            probabilities=probabilities,
            branch_names=('comb',),
            classes=synthfg.CLASSES,
            groups=synthfg.GROUPS,
            protocol='train_time',
            failed={},
            model=name,
            dataset='synthfg',
        )
        paths.append(tmp_path / f'{name}.npz')
        scores.save(paths[-1])
    picture = tmp_path / 'confusion.png'
    code, out, err = command('explain', 'confusion', *paths, '--out', picture, '--group', 'disc')
    assert code == 0 and str(picture) in out, err
    assert cv2.imread(str(picture)).shape[0] > 250
    code, _, err = command('explain', 'confusion', *paths, '--out', picture)
    assert code == 2 and err.startswith('error: ') and '--force' in err
    code, _, err = command('explain', 'confusion', *paths, '--out', tmp_path / 'p.png', '--group', 'disk')
    assert code == 2 and "unknown group 'disk'; did you mean 'disc'" in err


def test_filters_of_a_small_network(command, params, tiny_synthfg, tmp_path):
    out = tmp_path / 'filters.csv'
    arguments = ['explain', 'filters', '--model', 'i3d_tiny_synthfg_dfb', '--params', params, '--root', tiny_synthfg]
    page = tmp_path / 'filters.html'
    code, text, err = command(*arguments, '--out', out, '--page', page, '--pictures', 1)
    assert code == 0 and err == '', err
    assert '120 filters; dead or copies: none' in text and text.splitlines()[-1] == f'wrote {out} and {page}'
    assert page.read_text().count('<img') == 120 and '24 videos of synthfg test' in page.read_text()
    assert "peak of the true class's strongest filter on the true detail" in text and '\n  hexagon ' in text
    assert len(out.read_text().splitlines()) == 121
    code, _, err = command(*arguments, '--out', out)
    assert code == 2 and 'filters.csv is there already; use --force' in err
    code, _, err = command(*arguments, '--page', page)
    assert code == 2 and '--page' in err and 'filters.html is there already; use --force' in err
    code, _, err = command(*arguments)
    assert code == 2 and err == 'error: nothing to write; give --out FILE.csv, --page FILE.html or both\n'
