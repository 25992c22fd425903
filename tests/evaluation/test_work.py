"""Work on a list is shared out, interrupted and put together again: the numbers are those of an undisturbed one."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluon_fg.data.datasets import VideoDataset, VideoRecord
from gluon_fg.data.labels import LabelSet
from gluon_fg.data.video import ArrayReader
from gluon_fg.deploy.execution import Execution
from gluon_fg.errors import UserError, VideoError
from gluon_fg.evaluation import partial
from gluon_fg.evaluation.batching import cut_video
from gluon_fg.evaluation.merge import merge
from gluon_fg.evaluation.partial import Done, Partial
from gluon_fg.evaluation.progress import Progress
from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.provenance import network_sha256
from gluon_fg.evaluation.score import Scores, score_dataset
from gluon_fg.evaluation.sharing import Shard, group_size, groups
from gluon_fg.evaluation.work import Work
from gluon_fg.factory import get_model

LABELS = LabelSet(tuple('abcde'))


class Films(VideoDataset):
    """Films of noise in memory; `broken` ones cannot be decoded, and opening the one `deadly` ends everything."""

    broken, deadly, opened = (2,), None, ()

    def open(self, index):
        self.opened = (*self.opened, index)
        if index == self.deadly:
            raise KeyboardInterrupt
        if index in self.broken:
            raise VideoError(self.path(index), 'is broken')
        frames = np.random.default_rng(index).integers(0, 256, (9, 36 + index % 2, 40, 3), np.uint8)
        return ArrayReader(self.path(index), frames, 8.0)


@pytest.fixture(scope='module')
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp('films')
    records = [VideoRecord(f'{number}.mp4', number % 5) for number in range(11)]
    for record in records:
        (folder / record.path).write_bytes(b'stands for a film')
    return lambda **given: _films(records, folder, given)


def _films(records, folder, given):
    made = Films(records, LABELS, folder, 'eleven')
    vars(made).update(given)
    return made


@pytest.fixture(scope='module')
def net():
    mx.random.seed(3)
    made = get_model('i3d_tiny_custom_dfb', nclass=5, pretrained=False, pretrained_base=False)
    made.input_spec = made.input_spec.replace(frames=4, frame_stride=1, short_side=34, crop_size=32)
    return made


def scored(net, films, batch_size=4, protocol='3xwhole', **options):
    return score_dataset(net, films, get_protocol(protocol), batch_size=batch_size, progress=False, **options)


def check_same(one, other):
    """Every field, to the last bit; how long the videos took is another number each time."""
    assert [len(scores.seconds) for scores in (one, other)] == [len(one.ids)] * 2
    assert min(one.seconds.min(), other.seconds.min()) > 0
    for field in dataclasses.fields(Scores):
        if field.name not in ('made', 'seconds'):
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(1, 64), st.integers(1, 200), st.integers(1, 9))
def test_shards_are_stretches_of_whole_groups_that_fill_whole_batches(listed, batch_size, views, count):
    size = group_size(views, batch_size)
    assert size * views % batch_size == 0 and size == min(n for n in range(1, 65) if n * views % batch_size == 0)
    whole = groups(listed, size)
    assert [place for group in whole for place in group] == list(range(listed))
    assert {len(group) for group in whole[:-1]} <= {size}
    if count > len(whole):
        with pytest.raises(UserError, match=f'choose at most {len(whole)} parts'):
            groups(listed, size, Shard(1, count))
        return
    parts = [groups(listed, size, Shard(number, count)) for number in range(1, count + 1)]
    assert [group for part in parts for group in part] == whole
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize('text', ['', '1', '0/2', '3/2', '1/0', 'a/b', '1/2/3', '-1/2', '1.0/2', '1/2 '])
def test_a_shard_is_one_of_so_many(text):
    with pytest.raises(UserError, match='--shard takes i/n'):
        Shard.parse(text)
    assert Shard.parse('2/3') == (2, 3) and Shard(2, 3).text == '2/3'


def test_shards_put_together_in_any_order_are_the_undivided_scores(net, films, tmp_path):
    whole = scored(net, films(), part=Work())
    parts = [scored(net, films(), workers=number, part=Work(Shard(number, 3))) for number in (1, 2, 3)]
    assert [part.listed for part in parts] == [4, 4, 3] and whole.listed == 11
    for number, part in enumerate(parts):
        part.save(tmp_path / f'{number}.npz')
    parts = [Scores.load(tmp_path / f'{number}.npz') for number in (2, 0, 1)]
    merged = merge(parts, 'cab')
    check_same(merged, whole)
    assert merged.made == whole.made and merged.made.shard == (1, 1) and merged.failed == {'2.mp4': 'is broken'}
    np.testing.assert_array_equal(merged.seconds, np.concatenate([parts[at].seconds for at in (1, 2, 0)]))
    old = [dataclasses.replace(part, seconds=None) for part in parts[:1]] + parts[1:]
    assert merge(old, 'cab').seconds is None, 'a part of a former version does not tell'
    merged.save(tmp_path / 'merged.npz')
    dataclasses.replace(whole, seconds=merged.seconds).save(tmp_path / 'whole.npz')
    assert (tmp_path / 'merged.npz').read_bytes() == (tmp_path / 'whole.npz').read_bytes()


def test_ranks_give_the_bits_of_one(net, films):
    whole = scored(net, films())
    parts = []
    for rank in (0, 1):
        with pytest.raises(RuntimeError):  # what the other rank did is not there yet
            scored(net, films(), rank=rank, size=2, gather=lambda part: parts.append(part) or [])
    check_same(scored(net, films(), rank=1, size=2, gather=lambda part: parts), whole)


def test_the_start_of_a_decoding_process_is_no_part_of_a_videos_seconds(monkeypatch):
    clock, waits = iter([10.0, 17.0, 20.0, 21.0]), iter([1.0, 4.0, 4.0, 4.0])
    monkeypatch.setattr('gluon_fg.evaluation.batching.time.perf_counter', lambda: next(clock))
    monkeypatch.setattr('gluon_fg.evaluation.batching.start_seconds', lambda: next(waits))

    def broken():
        raise VideoError('a.mp4', 'is broken')

    for seconds in (4.0, 1.0):
        position, name, outcome, spent = cut_video(None, None, None, set(), (3, ('a.mp4', broken)))
        assert (position, name, outcome.reason, spent) == (3, 'a.mp4', 'is broken', seconds)


def test_parts_that_are_not_one_evaluation_are_refused(net, films):
    one, two = (scored(net, films(), part=Work(Shard(number, 2))) for number in (1, 2))
    other = get_model('i3d_tiny_custom_dfb', nclass=5, pretrained=False, pretrained_base=False)
    other.input_spec = net.input_spec
    longer = films(records=films().records + (VideoRecord('11.mp4', 0),), broken=())
    for parts, message in (
        ([one], r'of 2 parts 1 are missing \(2/2\): gluon-fg evaluate --shard 2/2'),
        ([one, one, two], 'a and b are both part 1/2'),
        ([one, scored(net, films(), part=Work(Shard(2, 3)))], 'differ in the number of parts, 2 and 3'),
        ([one, scored(other, films(), part=Work(Shard(2, 2)))], 'a and b differ in the weights of the network; they'),
        ([one, scored(net, films(), protocol='3x1', part=Work(Shard(2, 2)))], 'protocol, 3xwhole and 3x1'),
        ([one, scored(net, longer, part=Work(Shard(2, 2)))], 'differ in the length of their lists, 11 and 12'),
        ([one, scored(net, films(), batch_size=6, part=Work(Shard(2, 2)))], 'and 5 comes next: .* batch sizes'),
        ([two, scored(net, films(), part=Work())], 'b is no part of a list'),
        ([scored(net, films())], 'a is no part of a list'),
    ):
        with pytest.raises(UserError, match=message):
            merge(parts, 'abc')


@pytest.mark.parametrize('deadly', [0, 4, 7, 10])
def test_who_goes_on_has_the_bits_of_who_was_not_disturbed(net, films, tmp_path, deadly, caplog):
    whole, kept = scored(net, films()), tmp_path / 'scores.partial'
    with pytest.raises(KeyboardInterrupt):
        scored(net, films(deadly=deadly), workers=0, part=Work(partial=kept))
    assert kept.exists() == (deadly >= 4), 'the file begins with the first group'
    again = films()
    check_same(scored(net, again, workers=0, part=Work(partial=kept)), whole)
    assert again.opened == tuple(range(deadly // 4 * 4, 11))
    assert (f'{deadly // 4 * 4} videos are scored already' in caplog.text) == (deadly >= 4)
    last = films()
    check_same(scored(net, last, part=Work(partial=kept)), whole)
    assert last.opened == ()
    partial.remove(kept)
    assert not list(tmp_path.iterdir())


def test_a_video_that_was_changed_since_is_scored_anew(net, films, tmp_path):
    kept, first = tmp_path / 'scores.partial', films()
    scored(net, first, part=Work(partial=kept))
    with open(first.path(5), 'ab') as stream:
        stream.write(b', a longer one')
    again = films()
    scored(net, again, part=Work(partial=kept))
    assert sorted(again.opened) == [4, 5, 6, 7]
    third = films()
    scored(net, third, part=Work(partial=kept))
    assert third.opened == ()


def test_what_is_of_something_else_is_not_gone_on_with(net, films, tmp_path, caplog):
    kept = tmp_path / 'scores.partial'
    scored(net, films(), part=Work(partial=kept))
    before = kept.read_bytes()
    other = get_model('i3d_tiny_custom_dfb', nclass=5, pretrained=False, pretrained_base=False)
    other.input_spec = net.input_spec
    for call, message in (
        (lambda work: scored(other, films(), part=work), 'is of another network, or of other weights; go on'),
        (lambda work: scored(net, films(records=films().records[:9]), part=work), 'another list of videos; go on'),
        (lambda work: scored(net, films(), protocol='2xwhole', part=work), r'protocol \(3xwhole-none@own, not 2xwhole'),
        (lambda work: scored(net, films(), batch_size=2, part=work), r'another batch size \(4, not 2\)'),
        (
            lambda work: scored(net, films(), execution=Execution('mxnet'), part=work),
            r'precision \(own graph, not mxnet',
        ),
    ):
        with pytest.raises(UserError, match=message):
            call(Work(partial=kept))
        assert kept.read_bytes() == before
    again = films()
    scored(net, again, batch_size=2, part=Work(partial=kept, force=True))
    assert len(again.opened) == 11


VIDEOS = [
    Done(0, np.ones((2, 3), 'f4') / 3, np.arange(3, dtype='f4'), None, 0.125),
    Done(1, None, None, 'is "cut" ü\n'),
]
KEY = {'network': 'a' * 64, 'batch size': 8}


def written(path):
    with Partial(path, KEY) as kept:
        for number in range(3):
            videos = [video._replace(place=video.place + 2 * number) for video in VIDEOS]
            kept.add(range(2 * number, 2 * number + 2), videos, [[1, 2], [3, number]])
    return path.read_bytes()


@settings(max_examples=30)
@given(st.data())
def test_a_file_that_a_kill_has_cut_gives_what_is_whole_and_grows_again(tmp_path_factory, data):
    path = tmp_path_factory.mktemp('cut') / 'x.partial'
    whole = written(path)
    length = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:length])
    with Partial(path, KEY) as kept:
        assert len(kept.groups) == max(whole[:length].count(b'\n') - 1, 0)
        for group, videos in kept.groups.items():
            np.testing.assert_array_equal(videos[0].probabilities, VIDEOS[0].probabilities)
            np.testing.assert_array_equal(videos[0].logits, VIDEOS[0].logits)
            assert videos[0].seconds == 0.125
            assert [video.place for video in videos] == list(group) and videos[1].reason == VIDEOS[1].reason
    path.write_bytes(b'')
    assert written(path) == whole


@settings(max_examples=30)
@given(st.data())
def test_a_damaged_file_never_gives_other_numbers(tmp_path_factory, data):
    path = tmp_path_factory.mktemp('damaged') / 'x.partial'
    whole = written(path)
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    try:
        with Partial(path, KEY) as kept:
            groups_left = len(kept.groups)
            assert all(np.array_equal(v[0].probabilities, VIDEOS[0].probabilities) for v in kept.groups.values())
            assert groups_left == max(whole[:at].count(b'\n') - 1, 0)
    except UserError as error:
        assert 'x.partial, which an evaluation that did not end has left, is' in str(error) and at < whole.index(b'\n')


def test_scored_videos_of_a_former_version_are_gone_on_with(tmp_path):
    path, untimed = tmp_path / 'x.partial', [VIDEOS[0]._replace(seconds=None), VIDEOS[1]]
    with Partial(path, KEY) as kept:
        kept.add(range(2), untimed, [[1, 2], [3, 4]])
    assert path.read_bytes().count(b'0.125') == 0
    with Partial(path, KEY) as kept:
        first, second = kept.groups[range(2)]
    np.testing.assert_array_equal(first.logits, VIDEOS[0].logits)
    assert (first.seconds, second) == (None, VIDEOS[1])


def test_two_evaluations_do_not_write_one_file(tmp_path):
    path = tmp_path / 'x.partial'
    written(path)
    with Partial(path, KEY), pytest.raises(UserError, match='is being written by another evaluation'):
        Partial(path, KEY)
    with Partial(path, KEY) as kept:
        assert len(kept.groups) == 3


def test_a_network_is_told_from_others_by_its_settings_and_every_weight(net):
    before = network_sha256(net)
    assert network_sha256(net) == before
    net.hybridize(static_alloc=True)
    net(mx.nd.zeros((1, 3, 4, 32, 32)))
    assert network_sha256(net) == before, 'what computing leaves is no difference'
    weight = net.branches.classifier.bias
    kept = weight.data().copy()
    weight.set_data(kept + mx.nd.array([0, 0, 0, 0, 1e-6]))
    assert network_sha256(net) != before
    weight.set_data(kept)
    spec = net.input_spec
    net.input_spec = spec.replace(frame_stride=2)
    assert network_sha256(net) != before
    net.input_spec = spec
    assert network_sha256(net) == before


def test_a_log_says_now_and_then_how_long_it_takes_yet(monkeypatch, caplog, capfd):
    clock = iter(range(0, 10000, 25))
    monkeypatch.setattr('gluon_fg.evaluation.progress.time.monotonic', lambda: float(next(clock)))
    with Progress(20, 10, 'dfb_3d', True) as progress:
        for _ in range(10):
            progress.update()
    with Progress(20, 0, 'silent', False) as progress:
        for _ in range(20):
            progress.update()
    lines = [record.message for record in caplog.records]  # 25 s a video, 3 videos until the first 60 s are over
    assert lines == [
        f'dfb_3d: {n} of 20 videos, {left} left' for n, left in ((13, '02:55'), (16, '01:40'), (19, '00:25'))
    ]
    assert capfd.readouterr().err == '', 'no bar where there is no terminal'
