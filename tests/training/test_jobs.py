"""Whole jobs as a user starts them: killed, interrupted, on two ranks."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from gluon_fg.evaluation.protocol import get_protocol
from gluon_fg.evaluation.score import score_dataset
from gluon_fg.training import loop
from gluon_fg.training.config import load_config
from gluon_fg.training.log import read_metrics
from gluon_fg.training.precision import computes_bfloat16
from gluon_fg.training.run import load_run, split_of

REPO = Path(__file__).resolve().parents[2]
HOROVODRUN = shutil.which('horovodrun', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}')
needs_horovod = pytest.mark.skipif(
    HOROVODRUN is None, reason='Horovod is not installed: everything runs in one process'
)


SCORING = '''"""gluon-fg train that keeps the scores of each validation, from each rank."""
import sys

import numpy as np

from gluon_fg.cli import main
from gluon_fg.training import loop

measure = loop.measure

def keep(run, state, epoch, when):
    metrics, scores = measure(run, state, epoch, when)
    np.save(run.run_dir / f'{epoch}-{run.world.rank}.npy', scores.probabilities)
    return metrics, scores

loop.measure = keep
main(['train', *sys.argv[1:]])
'''

STOPPING = '''"""gluon-fg train three times in one job: a whole run, one whose rank 1 is stopped, and that one again."""
import os, signal, sys

from gluon_fg.cli import main
from gluon_fg.training import loop

one_update, asked, codes = loop.one_update, [], []

def stopped(run, state, *rest):
    if run.run_dir.name == 'stopped' and state.updates == 3 and not asked:
        asked.append(True)
        if run.world.rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
    return one_update(run, state, *rest)

loop.one_update = stopped
loop.plot_curves = lambda *args, **options: None  # seconds
for name in ('whole', 'stopped', 'stopped'):
    try:
        main(['train', '--out', os.path.join(sys.argv[2], name), *sys.argv[3:]])
    except SystemExit as end:
        codes.append(end.code)
if os.environ['HOROVOD_RANK'] == '0':
    print('codes', codes)
'''
APART = '''"""gluon-fg train in a folder of the rank's own, which is not waited for as long as a network's may need."""
import os, sys
from pathlib import Path

from gluon_fg.cli import main
from gluon_fg.training import distributed, lock

lock._SHOWN_WITHIN = 0.5
own = Path(__file__).with_name(os.environ['HOROVOD_RANK'])
own.mkdir()
os.chdir(own)
try:
    main(['train', *sys.argv[1:]])
except SystemExit as end:
    codes = distributed.init().gather_objects(end.code)  # the launcher ends a rank that has not said so yet
    if os.environ['HOROVOD_RANK'] == '0':
        print('codes', codes)
    raise
'''


@pytest.fixture
def command(tiny_synthfg):
    def make(out, *overrides, ranks=1, script=REPO / 'scripts/train.py'):
        launcher = [HOROVODRUN, '-np', str(ranks)] if ranks > 1 else []
        return [
            *launcher,
            sys.executable,
            str(script),
            '--out',
            str(out),
            '--set',
            f'data.root={tiny_synthfg}',
            'data.sizes={train: 48, val: 24, test: 24}',
            'data.augment=random_crop',
            'data.workers=1',
            'train.lr_epochs=[]',
            'train.lr=0.01',
            'train.log_steps=1',
            'train.batch_size=8',
            *overrides,
        ]

    return make


def start(command):
    return subprocess.Popen(
        command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(command, timeout=240):
    done = subprocess.run(
        command, cwd=REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def train_here(command):
    """What a command of a single rank does, in this process, which has MXNet loaded."""
    out, overrides = Path(command[command.index('--out') + 1]), command[command.index('--set') + 1 :]
    return loop.train(load_config(None, overrides), out, progress=False)


def wait_for_update(process, out, step, seconds=120):
    deadline = time.time() + seconds
    while time.time() < deadline and process.poll() is None:
        if any(r['step'] >= step for r in read_metrics(out / 'metrics.jsonl')):
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f'update {step} did not come: {process.communicate()[0][-3000:]}')


def losses(out):
    return [r['loss'] for r in read_metrics(out / 'metrics.jsonl') if r['event'] == 'train']


def untimed(out):
    """The run's record without what differs from one start to the next."""
    times = ('seconds', 'data_seconds', 'clips_per_second')
    return [{k: v for k, v in r.items() if k not in times} for r in read_metrics(out / 'metrics.jsonl')]


def same_parameters(a, b, name='final.params'):
    a, b = (mx.nd.load(str(path / name)) for path in (a, b))
    return sorted(a) == sorted(b) and all(np.array_equal(a[n].asnumpy(), b[n].asnumpy()) for n in a)


def test_a_run_killed_and_interrupted_ends_as_one_that_was_not(command, tmp_path):
    settings = ('train.epochs=3', 'train.checkpoint_steps=4', 'model.options={dropout: 0.5}', 'train.clip=5.0')
    whole = start(command(tmp_path / 'whole', *settings))
    out = tmp_path / 'broken'
    process = start(command(out, *settings))
    wait_for_update(process, out, 5)  # mid-epoch (6 updates an epoch), past the checkpoint at 4
    process.kill()
    process.communicate()
    assert not (out / 'summary.json').exists()
    process = start(command(out, *settings))
    wait_for_update(process, out, 9)
    process.send_signal(signal.SIGINT)
    text = process.communicate()[0]
    assert process.returncode == 130 and 'to resume' in text and 'Traceback' not in text
    assert 'resumes from' in finish(command(out, *settings))
    assert whole.wait(240) == 0, whole.communicate()[0][-3000:]
    assert losses(out) == losses(tmp_path / 'whole') and len(losses(out)) == 18
    assert same_parameters(out, tmp_path / 'whole')
    assert 'already finished' in finish(command(out, *settings))


@needs_horovod
def test_two_ranks_with_half_the_batch_follow_one_process(command, tmp_path):
    start = ('model.pretrained=true', 'train.batch_norm=frozen')  # with statistics to keep
    settings = ('train.epochs=2', *start, 'train.clip=5.0', 'train.lr=0.001')
    train_here(command(tmp_path / 'one', *settings))
    finish(command(tmp_path / 'two', *settings, 'train.batch_size=4', ranks=2))
    np.testing.assert_allclose(losses(tmp_path / 'one'), losses(tmp_path / 'two'), rtol=5e-5)
    vals = [
        [r['top1'] for r in read_metrics(tmp_path / name / 'metrics.jsonl') if r['event'] == 'val']
        for name in ('one', 'two')
    ]
    assert vals[0] == vals[1]  # sharded validation counts every video once


@needs_horovod
def test_a_job_that_lost_a_rank_ends_as_one_that_did_not(command, tmp_path):
    """Also what is measured, to the last bit: all ranks have the statistics of the saved weights."""
    out, script = tmp_path / 'run', tmp_path / 'scoring_train.py'
    script.write_text(SCORING)
    settings = ('train.epochs=2', 'train.batch_size=4', 'train.checkpoint_steps=2', 'train.lr=0.003')
    settings += ('model.pretrained=true',)  # else every video is taken for one class, whatever the statistics
    process = start(command(out, *settings, ranks=2, script=script))
    wait_for_update(process, out, 3)
    ranks = [int(p.name) for p in Path('/proc').iterdir() if p.name.isdigit() and _is_rank(p, out, 1)]
    assert ranks, 'no process of rank 1 found'
    for pid in ranks:
        os.kill(pid, signal.SIGKILL)
    text = process.communicate(timeout=120)[0]
    assert process.returncode != 0
    assert 'another rank of the job has ended; start the same command again to resume' in text
    assert 'loop.py' not in text  # no traceback of ours
    # Not beside the other job: the launcher gives rank 0 five seconds to see that rank 1 is gone.
    whole = start(command(tmp_path / 'whole', *settings, ranks=2, script=script))
    assert 'resumes from' in finish(command(out, *settings, ranks=2, script=script))
    assert whole.wait(240) == 0, whole.communicate()[0][-3000:]
    assert len(losses(out)) == 12 and untimed(out) == untimed(tmp_path / 'whole')
    assert same_parameters(out, tmp_path / 'whole') and same_parameters(out, tmp_path / 'whole', 'best.params')
    names = [f'{epoch}-{rank}.npy' for epoch in (1, 2) for rank in (0, 1)]
    after, before = ([np.load(str(folder / name)) for name in names] for folder in (out, tmp_path / 'whole'))
    assert all(np.array_equal(a, b) for a, b in zip(after, before)) and np.array_equal(after[2], after[3])
    net, config = load_run(out, out / 'final.params')  # and these are the scores of the file
    scores = score_dataset(net, split_of(config, 'val'), get_protocol('train_time'), mx.cpu())
    np.testing.assert_allclose(scores.probabilities, after[2], atol=1e-5)


@needs_horovod
def test_three_ranks_of_which_one_was_stopped_end_with_the_bits_of_a_run_that_was_not(command, tmp_path):
    """Gradients are averaged one by one: with three, sums of several at once would depend on which are ready."""
    script = tmp_path / 'stopping_train.py'
    script.write_text(STOPPING)
    settings = ('train.fusion_threshold_mb=0', 'train.epochs=1', 'train.batch_size=2', 'model.options={dropout: 0.5}')
    text = finish(command(tmp_path, *settings, 'train.clip=5.0', ranks=3, script=script))
    assert 'codes [0, 130, 0]' in text and 'resumes from' in text, text
    whole, out = tmp_path / 'whole', tmp_path / 'stopped'
    assert losses(out) == losses(whole) and len(losses(out)) == 8
    assert same_parameters(out, whole)


@needs_horovod
def test_a_job_whose_ranks_have_folders_of_their_own_ends_on_both_before_it_trains(command, tmp_path):
    script = tmp_path / 'apart_train.py'
    script.write_text(APART)
    process = start(command('run', ranks=2, script=script))
    text = process.communicate(timeout=120)[0]
    assert process.returncode != 0 and 'codes [2, 2]' in text and 'lock.py' not in text, text  # no traceback of ours
    line = f'does not see in {tmp_path / "1" / "run"} what rank 0 wrote: the ranks of a job need one folder'
    assert text.count(line) == 2, text
    assert [list((tmp_path / rank).iterdir()) for rank in '01'] == [[], []]


def _is_rank(process, out, rank):
    try:
        line, environment = ((process / n).read_bytes() for n in ('cmdline', 'environ'))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return (
        str(out).encode() in line
        and b'train.py' in line
        and f'HOROVOD_RANK={rank}\0'.encode() in environment
        and line.split(b'\0')[0].endswith(b'python')
    )


def test_bfloat16_on_the_cpu_follows_float32_or_is_refused(command, tmp_path):
    if not computes_bfloat16():
        process = start(command(tmp_path / 'bfloat16', 'train.precision=bfloat16'))
        text = process.communicate(timeout=120)[0]
        assert process.returncode == 2 and text.strip().splitlines()[-1] == (
            'error: train.precision bfloat16 needs a CPU with AVX-512, which this one lacks; choose float32'
        )
        return
    for precision in ('float32', 'bfloat16'):
        finish(command(tmp_path / precision, 'train.epochs=1', f'train.precision={precision}'))
    np.testing.assert_allclose(losses(tmp_path / 'bfloat16'), losses(tmp_path / 'float32'), rtol=0.05)
