"""What is published of a run beside its weights: a line on their origin, config and log, without its machine."""

from __future__ import annotations

import json
from pathlib import Path

from .. import files, safe_json
from .config import load_config, start_file, to_yaml
from .log import read_metrics
from .sections import Config

# What of a run's environment.json tells how its numbers came about; the command line and the machine are left out.
_ANEW = 'remove it, and gluon-fg train writes it anew'
_ENVIRONMENT = ('python', 'mxnet', 'numpy', 'onednn', 'cuda', 'omp_threads', 'ranks')


def source(run_dir: Path, config: Config, checkpoint: str) -> str:
    """A line on what made the weights: dataset, epoch, learning rate, seed and start."""
    path = run_dir / 'summary.json'
    summary = safe_json.load_mapping(path, _ANEW)
    try:
        if 'joined' in summary:
            streams = ' and '.join(stream['model'] for stream in summary['joined'].values())
            return f'gluon-fg join of {streams}, trained apart on {config.data.dataset}'
        epochs = int(summary['epochs'])
        epoch = int(summary['best']['epoch']) if checkpoint == 'best' else epochs
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise safe_json.damaged(path, f'{type(error).__name__}: {error}', _ANEW) from None
    model = load_config(str(run_dir / 'config.yaml'), saved=True).model
    begun = {'kinetics400': ', from Kinetics-400 weights', 'imagenet': ', from ImageNet weights'}
    start = ', warm start' if start_file(model) else begun.get(model.start or '', '')
    start += f', transfer {model.transfer}' if model.transfer else ''
    return (
        f'scripts/train.py on {config.data.dataset}: epoch {epoch} of {epochs}, '
        f'learning rate {config.train.lr:g}, seed {config.train.seed}{start}'
    )


def public_config(run_dir: Path, stem: str) -> str:
    """The run's config, every value, without what lies on its machine."""
    config = load_config(str(run_dir / 'config.yaml'), saved=True)
    lines = [f'# The run that made {stem}.params, every value; folders of its machine are left out.']
    if start_file(config.model):
        given = Path(str(start_file(config.model)))
        digest = f', SHA-256 {files.sha256(given)}' if given.is_file() else ''
        lines.append(f'# model.{"params" if config.model.params else "start"}: it started from {given.name}{digest}')
        config.model.start = given.name if config.model.transfer else None  # left open it would say Kinetics-400
    if config.data.features:
        lines.append('# data.features: it was trained from features of its own start, as gluon-fg features writes them')
    config.model.params = config.data.root = config.data.flow = config.data.features = None
    return '\n'.join([*lines, to_yaml(config)])


def public_log(run_dir: Path) -> str:
    """The epochs' losses and accuracies as JSON lines, below a line of library versions."""
    environment = run_dir / 'environment.json'
    known = safe_json.load_mapping(environment, 'remove it') if environment.is_file() else {}
    records = [{'event': 'environment', 'step': 0, **{key: known[key] for key in _ENVIRONMENT if key in known}}]
    for record in read_metrics(run_dir / 'metrics.jsonl'):
        if record['event'] in ('epoch', 'val'):
            words = {key: record[key] for key in ('event', 'stage', 'protocol') if key in record}
            records.append({**words, **{k: v for k, v in record.items() if isinstance(v, (int, float))}})
    return ''.join(json.dumps(record) + '\n' for record in records)
