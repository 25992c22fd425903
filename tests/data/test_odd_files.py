"""What stands where a video should: pipes, devices, broken links, folders. Each is named, none is waited for."""

import os

import pytest

from gluon_fg.data.health import check_file
from gluon_fg.data.isolated import open_isolated
from gluon_fg.errors import UserError, VideoError
from gluon_fg.evaluation.clips import files_of
from gluon_fg.input_spec import InputSpec


@pytest.fixture
def odd(tmp_path):
    """A folder of them, by what is said of each."""
    os.mkfifo(tmp_path / 'pipe.mp4')
    (tmp_path / 'device.mp4').symlink_to('/dev/zero')
    (tmp_path / 'link.mp4').symlink_to('nowhere')
    (tmp_path / 'folder.mp4').mkdir()
    (tmp_path / 'empty.mp4').write_bytes(b'')
    (tmp_path / 'text.mp4').write_text('a text\n' * 100)
    return tmp_path, {
        'pipe.mp4': 'is not a file',
        'device.mp4': 'is not a file',
        'link.mp4': 'no such file',
        'folder.mp4': 'holds no image',
        'empty.mp4': 'is an empty file',
        'text.mp4': 'cannot be read as a video|is not a video',
    }


def test_none_is_opened_or_waited_for(odd):
    folder, said = odd
    for name, reason in said.items():
        with pytest.raises(VideoError, match=rf'{name}: .*({reason})'):
            open_isolated(str(folder / name))


def test_a_check_of_the_dataset_says_it_of_each(odd):
    folder, said = odd
    problems = {name: check_file(str(folder / name)).problem for name in said}
    assert problems.pop('link.mp4') == 'missing'
    assert {name: problem.split(':')[0] for name, problem in problems.items()} == dict.fromkeys(problems, 'broken')


def test_an_empty_folder_among_others_does_not_stop_them(odd):
    folder, _ = odd
    given = [str(folder / 'folder.mp4'), str(folder / 'text.mp4')]
    assert files_of(given, InputSpec()) == given
    with pytest.raises(UserError, match='no video in this folder'):
        files_of(given[:1], InputSpec())
