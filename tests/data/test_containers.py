"""The frames asked for, from films of every container and codec that can be written here, by either back end."""

import subprocess
import sys

import av
import numpy as np
import pytest
import swept

from gluon_fg.data.packets import DECORD_CODECS, scan
from gluon_fg.data.video import open_video
from gluon_fg.errors import VideoError

DECORD = set()  # (container, codec) that decord was tried with


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Films of all kinds."""
    folder = tmp_path_factory.mktemp('swept')
    subprocess.run([sys.executable, swept.__file__, folder], check=True, timeout=200)
    return folder


def decoded(path):
    """Container, codec and every frame of a film, plainly from its start."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format='rgb24', interpolation='BICUBIC') for frame in container.decode(stream)]
        return container.format.name, stream.codec_context.name, np.stack(frames)


@pytest.mark.parametrize('ending', swept.CODECS)
def test_frames_of_a_sweep_are_the_right_ones(folder, ending):
    last, rng = swept.FRAMES - 1, np.random.default_rng(0)
    for name, _, _ in swept.films(ending):
        path = folder / name
        container, codec, truth = decoded(path)
        exact = scan(path).not_decord == ''
        for backend in ('auto', 'decord') if exact else ('auto',):
            for wanted in ([last], [last // 2 + 1, last // 2 + 2], [7, 3], np.arange(0, last, 2)):
                with open_video(path, backend) as reader:  # a fresh one: the first seek starts from nowhere
                    assert len(reader) == len(truth) == swept.FRAMES, name
                    np.testing.assert_array_equal(reader.get_batch(wanted), truth[wanted], f'{name} {wanted}')
                    wanted = rng.integers(0, last, 4)
                    np.testing.assert_array_equal(reader.get_batch(wanted), truth[wanted], f'{name} {wanted}')
        if exact:
            DECORD.add((container, codec))
        else:
            with pytest.raises(VideoError, match='decord cannot be used'):
                open_video(path, 'decord')


def test_decord_is_trusted_where_it_was_swept_alone():
    pairs = sum(len({kind.replace('-b', '') for kind in kinds.split()}) for kinds in swept.CODECS.values())
    assert pairs >= 37
    assert {(container, codec) for container, codecs in DECORD_CODECS.items() for codec in codecs} == DECORD
