"""A shell in which the commands of README.md and docs/*.md run as a reader types them, quickly.

Loading MXNet, and Matplotlib for a training's curves, takes longer than most commands: one process does one after the
other. Of each kind that trains or starts processes, one command is started as a user starts it.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
ALONE = (  # beginnings of commands that have a process of their own
    'gluon-fg train --config dfb/i3d_tiny_synthfg --out',
    'gluon-fg finetune my_videos --out',
    'gluon-fg study my_study',
    'gluon-fg doctor',
)
WORKER = """
import contextlib, io, json, sys, traceback

from gluon_fg.cli import main

answers = sys.stdout
for line in sys.stdin:
    task, out, err, code = json.loads(line), io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if isinstance(task, str):
                exec(compile(task, 'a block', 'exec'), {'__name__': '__main__'})
            else:
                main(task, prog_name='gluon-fg')
        except SystemExit as end:
            code = end.code or 0
        except Exception:
            traceback.print_exc()
            code = 1
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=answers, flush=True)
"""


def environment(home):
    """Variables of a shell that finds `gluon-fg`, of this checkout, whether or not it is installed."""
    programs = home / 'bin'
    programs.mkdir()
    command = programs / 'gluon-fg'
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m gluon_fg "$@"\n')
    command.chmod(0o755)
    path = [str(programs), str(Path(sys.executable).parent), os.environ['PATH']]
    modules = [str(REPO), *filter(None, [os.environ.get('PYTHONPATH')])]
    return {
        **os.environ,
        'PATH': os.pathsep.join(path),
        'PYTHONPATH': os.pathsep.join(modules),
        'OMP_NUM_THREADS': '1',
        'PIP_NO_INDEX': '1',  # the doctor looks for packages
        'PIP_FIND_LINKS': '',
        'MXNET_GLUON_REPO': 'file:///nowhere',  # own videos start from what is to be had: nothing
    }


def has_module(name):
    return subprocess.run([sys.executable, '-c', f'import {name}'], capture_output=True).returncode == 0


class Shell:
    """Runs commands in a folder and keeps what they print."""

    def __init__(self, home):
        self.home, self.env, self.printed, self.worker = home, environment(home), {}, None

    def run(self, words, name):
        done = subprocess.run(
            words, cwd=self.home, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400
        )
        self.keep(name, done.returncode, done.stdout, done.stderr)

    def keep(self, name, code, out, err):
        assert code == 0, f'{name}\n{out[-2000:]}\n{err[-2000:]}'
        self.printed[name] = out

    def command(self, command):
        words = shlex.split(command)
        if words[0] == 'gluon-fg' and not command.startswith(ALONE):
            self.ask(command, words[1:])
        elif words[0] == 'horovodrun' and not shutil.which('horovodrun', path=self.env['PATH']):
            self.run(['bash', '-c', command.split('-np 2 ', 1)[1]], command)
        else:
            self.run(['bash', '-c', command], command)

    def python(self, text, name):
        """Run a block; the front page's, and those that need no MXNet, in a process of their own."""
        if 'gluon_fg' in text and not name.startswith('README.md'):
            self.ask(name, text)
        else:
            self.run([sys.executable, '-c', text], name)

    def ask(self, name, task):
        if self.worker is None:
            pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.DEVNULL}
            self.worker = subprocess.Popen(
                [sys.executable, '-c', WORKER], cwd=self.home, env=self.env, text=True, **pipes
            )
        print(json.dumps(task), file=self.worker.stdin, flush=True)
        answer = self.worker.stdout.readline()
        assert answer, f'{name} ended the process'
        self.keep(name, *json.loads(answer))

    def close(self):
        if self.worker is not None:
            self.worker.communicate(timeout=60)
