"""A network on single images from training to prediction, as a user calls the commands."""

import json

import pytest

from gluon_fg.data import synthfg


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'images'
    return synthfg.generate(root, train=32, val=16, test=16, progress=False, dataset='synthfg_images')


@pytest.fixture(scope='module')
def run_dir(images, run_command, tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs') / 'images'
    options = (f'data.root={images}', 'train.epochs=2', 'train.batch_size=16')
    done = run_command('train', '--config', 'configs/u2s/tiny_synthfg_images.yaml', '--set', *options, '--out', folder)
    assert done.returncode == 0, done.stderr
    assert 'tiny_synthfg_images' in done.stdout and 'trained 4 updates' in done.stdout
    return folder


def test_a_run_on_images_is_evaluated_in_ten_crops(command_done, run_dir, tmp_path):
    done = command_done('evaluate', '--run', run_dir, '--protocol', '10crop', '--out', tmp_path / 'scores.npz')
    assert done.returncode == 0, done.stderr
    assert '16 videos of synthfg_images test, views of each: 10' in done.stdout
    assert json.loads((tmp_path / 'scores.metrics.json').read_text())['listed'] == 16


def test_images_and_folders_of_them_are_predicted(command_done, run_dir, images, tmp_path):
    folder = tmp_path / 'my images'
    folder.mkdir()
    (folder / 'a.png').write_bytes((images / 'test/00000.png').read_bytes())
    (folder / 'broken.png').write_bytes(b'cut')
    (folder / 'film.mp4').write_bytes(b'')
    done = command_done('predict', images / 'test/00001.png', folder, '--run', run_dir, '--topk', 3, '--json')
    assert done.returncode == 2 and 'Traceback' not in done.stderr
    answers = json.loads(done.stdout)
    assert [answer['path'].rsplit('/', 1)[1] for answer in answers] == ['00001.png', 'a.png', 'broken.png']
    assert [len(answer['predictions']) for answer in answers] == [3, 3, 0]
    assert {p['label'] for p in answers[0]['predictions']} <= set(synthfg.CLASSES)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert 'broken.png' in line and 'not an image' in line


def test_a_folder_without_images_is_named(command_done, run_dir, tmp_path):
    (tmp_path / 'notes.txt').write_bytes(b'')
    done = command_done('predict', tmp_path, '--run', run_dir)
    assert done.returncode == 2 and 'no image in this folder (looked for .jpg' in done.stderr
