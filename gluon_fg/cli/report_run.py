"""What a report tells of a training run, read from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

_ANEW = 'remove it, and gluon-fg train writes it anew'


def run_facts(folder: Path) -> Any:
    """Read a run's folder as a `visualization.report.content.RunFacts`; what is not there is left out.

    Raises
    ------
    UserError
        one of its files is damaged
    """
    from .. import safe_json
    from ..training.config import load_config, to_yaml
    from ..training.log import read_metrics
    from ..training.start import read_start
    from ..visualization.report.content import RunFacts

    config = load_config(str(folder / 'config.yaml'), saved=True)
    known: Dict[str, Dict[str, Any]] = {}
    for name in ('summary', 'environment'):
        path = folder / f'{name}.json'
        known[name] = safe_json.load_mapping(path, _ANEW) if path.is_file() else {}
    start = read_start(folder)
    records = tuple(read_metrics(folder / 'metrics.jsonl'))
    summary, environment = known['summary'], known['environment']
    return RunFacts(
        folder=str(folder),
        headline=_headline(config, summary, environment, start.source if start else None),
        facts=tuple(_facts(folder, config, summary, records)),
        config=to_yaml(config),
        records=records,
        environment=environment,
    )


def _headline(config: Any, summary: Dict[str, Any], environment: Dict[str, Any], source: Optional[str]) -> str:
    """What was trained on what, from what, with what, and how long it took."""
    from ..training.finetune import in_words

    words = [f'{config.model.name}, trained on {config.data.dataset} ({config.data.train_split})']
    if source or config.model.start:
        words.append(f'started from {source or config.model.start}')
    if 'joined' in summary:
        words.append('joined of networks that were trained apart')
    stages = summary.get('stages')
    each = list(stages.values()) if isinstance(stages, dict) else [summary]
    counts = [part['epochs'] for part in each if isinstance(part, dict) and _is_number(part.get('epochs'))]
    if counts:
        updates = f', {summary["updates"]} updates' if _is_number(summary.get('updates')) else ''
        apart = f' in {len(each)} stages ({", ".join(map(str, stages))})' if isinstance(stages, dict) else ''
        words.append(f'{sum(counts)} epoch{"s" * (sum(counts) != 1)}{apart}{updates}')
    if _is_number(summary.get('seconds')):
        words.append(f'in {in_words(summary["seconds"])}')
    if 'mxnet' in environment:
        where = 'GPU' if environment.get('cuda') and config.train.device != 'cpu' else 'CPU'
        ranks = environment.get('ranks') or 1
        many = '' if ranks == 1 else f', {ranks} processes'
        words.append(f'by MXNet {environment["mxnet"]} on {where}{many}')
    if not summary:
        words.append('not finished')
    return '; '.join(words) + '.'


def _facts(folder: Path, config: Any, summary: Dict[str, Any], records: Tuple[dict, ...]) -> List[Tuple[str, str]]:
    train = config.train
    pairs = [
        ('run', str(folder)),
        ('learning rate', f'{train.lr:g}, {train.schedule}, {train.optimizer}'),
        ('batch', f'{train.batch_size} clips a process, {train.accumulate} passes an update'),
        ('seed', str(train.seed)),
    ]
    best = summary.get('best')
    if isinstance(best, dict) and _is_number(best.get('epoch')):
        chosen = next(
            (f', {name} {100 * best[name]:.1f} %' for name in ('map', 'top1') if _is_number(best.get(name))), ''
        )
        pairs.append(('best epoch', f'{best["epoch"]}, by its validation on {config.data.val_split}{chosen}'))
    elif records:
        pairs.append(('recorded', f'{records[-1]["step"]} updates'))
    return pairs


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
