"""A network in the three ways of transfer, one after another, and the table of their accuracies.

    FOLDER/original  FOLDER/fixed  FOLDER/full        a run each; FOLDER/split2/original ... with --splits
    FOLDER/transfer.json  FOLDER/transfer.md          the table

The runs differ in `model.transfer` and what it starts from; where they lie is all that ties them together.
"""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import mxnet as mx

from ..data.catalog import dataset_info
from ..deploy.execution import REFERENCE
from ..errors import UserError
from ..evaluation import metrics
from ..evaluation.protocol import get_protocol
from ..evaluation.report import write_report
from ..evaluation.score import Scores, known_to, score_dataset
from ..files import atomic_write
from . import distributed, stages
from .config import load_config, stage_configs, start_file
from .named import Named, dataset_of
from .run import choose_context, is_current, load_run, split_of
from .sections import TRANSFERS, Config
from .start import begin, read_start

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """One of the runs: its split ('' where there is one alone), way of transfer, config and folder."""

    split: str
    transfer: str
    config: Config
    folder: Path


def plan(
    path: Optional[str], overrides: Sequence[str], out: Path, splits: Sequence[int] = (), original: Optional[str] = None
) -> List[Part]:
    """Make the configs of all runs from a config for one of them; nothing is written.

    Parameters
    ----------
    path, overrides
        as for `load_config`. A file that the config starts from is what `fixed` and `full` start from, in place of
        Kinetics-400's weights
    out
        folder of the runs
    splits
        numbers of the dataset's official splits; none: the split that the config says
    original
        'imagenet', 'none' or a file, which `original` starts from; None: as the config says, else ImageNet's weights
        where the backbone has some

    Raises
    ------
    UserError
        a config that cannot be, or an unknown split
    """
    base = load_config(path, overrides)
    _check_splits(base, splits)
    if base.data.features:
        raise UserError(
            f'data.features is {base.data.features}, which are of one network, and the runs of transfer start from '
            'different ones; leave it out'
        )
    first = base.model.start if base.model.start in ('imagenet', 'none') else None
    starts = {name: start_file(base.model) for name in TRANSFERS}
    starts['original'] = original or first
    parts = []
    for number in splits or (0,):
        split = f'split{number}' if number else ''
        folds = [f'data.train_split=train{number}'] if number else []
        for name in TRANSFERS:
            own = [f'model.start={json.dumps(starts[name])}', f'model.transfer={name}']
            cleared = [f'model.{key}=null' for key in ('params', 'pretrained_base')]
            config = load_config(path, [*overrides, *cleared, 'model.pretrained=false', *own, *folds])
            parts.append(Part(split, name, config, out / split / name))
    return parts


def _check_splits(config: Config, splits: Sequence[int]) -> None:
    known = ['1', '2', '3'] if 'test2' in dataset_info(config.data.dataset).splits else []
    for number in splits:
        if not known:
            raise UserError(f'--splits {number}: {config.data.dataset} has no numbered splits; leave out --splits')
        if str(number) not in known:
            text = ', '.join(known)
            raise UserError(f'--splits {number}: unknown split of {config.data.dataset}; choose from {text}')
        if list(splits).count(number) > 1:
            raise UserError(f'--splits names split {number} twice; name each once')


def run(parts: Sequence[Part], tested_on: Optional[str] = None, progress: bool = True) -> Dict[str, Any]:
    """Train and test all runs, those that are finished are kept; the numbers of the table.

    Parameters
    ----------
    parts
        of `plan`
    tested_on
        the split to test on; None: 'test', or what the run validated on where there is none
    progress
        whether to draw progress bars

    Raises
    ------
    UserError, Interrupted
        as `stages.train`; a split without labels; weights that a later run starts from and that are not to be had,
        before the first is trained
    """
    _check(parts, tested_on)
    done: List[Tuple[Part, Scores]] = []
    for part in parts:
        logger.info('\n%s', ' '.join(filter(None, (part.split, part.transfer))))
        stages.train(part.config, part.folder, distributed.World(), progress)
        done.append((part, _scores(part, tested_on, progress)))
    return tabulate(done)


def _check(parts: Sequence[Part], tested_on: Optional[str]) -> None:
    """Find every run possible, and the split to test on there, before hours of training."""
    for part in parts:
        if (part.folder / 'summary.json').is_file() or part.split != parts[0].split:
            continue
        config = next(iter(stage_configs(part.config).values()), copy.deepcopy(part.config))
        labels = split_of(config, config.data.train_split).labels
        if tested_on:
            split_of(config, tested_on)
        try:
            begin(config, mx.cpu(), labels)
        except UserError as error:
            instead = '; --original none starts from random weights' if part.transfer == 'original' else ''
            raise UserError(f'{part.transfer}: {error}{instead}') from None


def _scores(part: Part, tested_on: Optional[str], progress: bool) -> Scores:
    """The scores of a run's best network by the run's own protocol; made once."""
    data, test = part.config.data, part.config.test
    ctx = choose_context(part.config.train.device, 0)
    net, config = load_run(part.folder, None, ctx)
    config.data.root = data.root
    videos, split = dataset_of(Named(str(part.folder), net, config), tested_on)
    views = get_protocol(config.test.protocol or net.protocol)
    name = str(part.folder / f'scores_{Path(split).stem}_{views.name}')
    if is_current(f'{name}.npz', part.folder / 'best.params'):
        return Scores.load(f'{name}.npz')
    if not any(record.label >= 0 for record in videos.records):
        raise UserError(f'{videos.name}: its videos have no labels, so nothing can be tested; choose another --split')
    scores = score_dataset(
        net, known_to(net, videos), views, ctx, test.batch_size, data.workers, progress=progress, execution=REFERENCE
    )
    write_report(scores, (Path(f'{name}.npz'), Path(f'{name}.metrics.json'), Path(f'{name}.per_class.csv')))
    return scores


def tabulate(done: Sequence[Tuple[Part, Scores]]) -> Dict[str, Any]:
    """Gather the numbers of finished runs.

    Returns
    -------
    dict
        `model`, `dataset`, `protocol`; `starts`: way of transfer -> in words; `splits`: for each {dataset, videos,
        original, fixed, full: top-1, failed, error_change}; `mean` of the splits. Fractions
    """
    rows: List[Dict[str, Any]] = []
    for split in dict.fromkeys(part.split for part, _ in done):
        summaries = {part.transfer: metrics.summarize(scores) for part, scores in done if part.split == split}
        scores = next(scores for part, scores in done if part.split == split)
        top1 = {name: summary['top1'] for name, summary in summaries.items()}
        failed = {name: summary['failed'] for name, summary in summaries.items()}
        videos = summaries['original']['labelled']
        rows.append({'dataset': scores.dataset, 'videos': videos, **top1, 'failed': failed, **_changes(top1)})
    mean = {name: sum(row[name] for row in rows) / len(rows) for name in TRANSFERS}
    first, scores = done[0]
    return {
        'model': scores.model,
        'dataset': scores.dataset.split(' ')[0],
        'protocol': scores.protocol,
        'starts': {part.transfer: _start_of(part) for part, _ in done if part.split == first.split},
        'splits': rows,
        'mean': {**mean, **_changes(mean)},
    }


def _start_of(part: Part) -> str:
    """What a run, or the first of its stages, started from."""
    stage = next(iter(part.config.stages), '')
    start = read_start(part.folder / stage)
    return start.source if start else str(part.config.model.start)


def _changes(top1: Dict[str, float]) -> Dict[str, Optional[float]]:
    """The change of error from original to full, and to the better of fixed and full."""
    return {
        'error_change_full': error_change(top1['original'], top1['full']),
        'error_change': error_change(top1['original'], max(top1['fixed'], top1['full'])),
    }


def error_change(before: float, after: float) -> Optional[float]:
    """By which share the error changes between two accuracies, -0.5 where it is halved; None where there was none.

    All three are fractions. The last column of Carreira and Zisserman's table of transfer is this from `original` to
    the better of `fixed` and `full`.
    """
    return None if before >= 1 else (before - after) / (1 - before)


HEADER = ('split', 'videos', 'original %', 'fixed %', 'full %', 'error %')


def _cells(result: Dict[str, Any]) -> List[List[str]]:
    """The table's rows: one a split, and the mean of several."""
    rows = [(row['dataset'], str(row['videos']), row) for row in result['splits']]
    if len(rows) > 1:
        rows.append((f'mean of {len(rows)} splits', '', result['mean']))
    return [
        [name, videos, *(f'{100 * row[key]:.1f}' for key in TRANSFERS), _signed(row['error_change'])]
        for name, videos, row in rows
    ]


def _signed(change: Optional[float]) -> str:
    return '-' if change is None else f'{100 * change:+.1f}'


def _notes(result: Dict[str, Any]) -> List[str]:
    notes = [f'{name}: {words}' for name, words in result['starts'].items()]
    for row in result['splits']:
        notes += [f'{row["dataset"]}, {name}: {count} videos failed' for name, count in row['failed'].items() if count]
    return [*notes, 'error %: change of the error from original to the better of fixed and full']


def format_table(result: Dict[str, Any]) -> str:
    """Set the numbers of `tabulate` as text, in percent."""
    title = f'{result["model"]} on {result["dataset"]}, protocol {result["protocol"]}: top-1'
    return '\n'.join([title, '', metrics.columns(list(HEADER), _cells(result)), '', *_notes(result)])


def write_table(result: Dict[str, Any], folder: Path) -> Tuple[Path, Path]:
    """Write the numbers into a folder, as transfer.json, and as a table for a page, transfer.md; the two paths."""
    numbers, page = folder / 'transfer.json', folder / 'transfer.md'
    with atomic_write(numbers) as stream:
        json.dump(result, stream, indent=1)
    lines = [f'# {result["model"]} on {result["dataset"]}', '', f'Top-1 by protocol {result["protocol"]}.', '']
    lines += [f'| {" | ".join(row)} |' for row in (HEADER, ('---',) * len(HEADER), *_cells(result))]
    with atomic_write(page) as stream:
        stream.writelines(f'{line}\n' for line in [*lines, '', *(f'- {note}' for note in _notes(result))])
    return numbers, page
