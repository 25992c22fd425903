"""What `gluon-fg report` is given: scores of a run, a model or a file, and what is at hand of network and videos."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import click

from ..deploy.execution import Execution
from ..errors import UserError, unknown
from .options import DataChoice
from .report_run import run_facts

SCORES = '.npz'


class Asked(NamedTuple):
    """What the user asks for, beside what the report is on: its `page`, whether it has `pictures`, how to evaluate."""

    data: DataChoice
    model: Optional[str]
    protocol: Optional[str]
    page: Path
    force: bool
    pictures: bool
    batch_size: int
    workers: int
    ctx: Any
    execution: Execution


class Subject(NamedTuple):
    """Scores, their file, what is at hand of their network, run and videos, and lines to say about that."""

    title: str
    scores: Any
    file: str
    net: Any = None
    run: Any = None
    videos: Any = None
    notes: Tuple[str, ...] = ()
    evaluated: bool = False


def is_scores(text: str) -> bool:
    """Tell whether a word names a score file, rather than a run or a model."""
    return text.endswith(SCORES)


def check_given(given: Sequence[str], data: DataChoice, model: Optional[str]) -> None:
    """Refuse what cannot be reported, before anything is loaded; raises UserError."""
    from ..training.named import check_source, is_run

    if len(given) not in (1, 2):
        raise UserError(f'give a run, a model or a score file, or two of them to compare; got {len(given)}')
    if model is not None and not is_scores(given[0]):
        raise UserError(f'--model is for a score file; {given[0]} is a network itself')
    for text in given:
        if is_scores(text):
            if not os.path.isfile(text):
                raise UserError(f'no score file {text}')
        elif os.path.isfile(text):
            raise UserError(f'{text} is no score file; give one of gluon-fg evaluate (.npz), a run or a model')
        elif not is_run(text) or any((data.dataset, data.root, data.split)):
            check_source(text, None, data.dataset, data.root, data.split)


def gather(given: Sequence[str], asked: Asked) -> List[Subject]:
    """Load or make the scores of each, of a second one in the order of the first.

    Raises
    ------
    UserError
        what cannot be loaded or evaluated; two that are not of the same videos and classes
    """
    from ..evaluation.compare import check_same_videos

    each = []
    for place, text in enumerate(given):
        own = asked if len(given) == 1 else asked._replace(page=_page_of(asked.page, place))
        each.append(_of_scores(text, own, place == 0) if is_scores(text) else _of_network(text, own))
    if len(each) == 2:
        each[1] = each[1]._replace(
            scores=check_same_videos(each[0].scores, each[1].scores, (each[0].file, each[1].file))
        )
    return _titled(each)


def _page_of(page: Path, place: int) -> Path:
    """The name that scores are kept beside, of the first and the second network."""
    return page.with_name(f'{page.stem}_{"ab"[place]}{page.suffix}')


def _titled(each: List[Subject]) -> List[Subject]:
    """The same with titles that differ: those of the networks, else of the files."""
    if len({subject.title for subject in each}) < len(each):
        each = [subject._replace(title=Path(subject.file).stem) for subject in each]
    if len({subject.title for subject in each}) < len(each):
        each = [subject._replace(title=subject.file) for subject in each]
    if len({subject.title for subject in each}) < len(each):
        each = [subject._replace(title=f'{subject.title} ({"AB"[place]})') for place, subject in enumerate(each)]
    return each


# Of a run or a model


def _of_network(text: str, asked: Asked) -> Subject:
    from ..evaluation.score import check_classes, known_to
    from ..training.guards import learned_line
    from ..training.named import check_source, dataset_of, is_run, load_model

    data, problem = asked.data, None
    try:
        check_source(text, None, data.dataset, data.root, data.split)
    except UserError as error:
        if not is_run(text) or any((data.dataset, data.root, data.split)):
            raise
        problem = error  # scores that lie in the run can be shown all the same
    named = load_model(text, None, asked.ctx)
    videos, notes = None, []
    if problem is None:
        videos, split = dataset_of(named, data.split, data.dataset, data.root, data.flow)
        videos = known_to(named.net, videos)
        check_classes(named.net, videos.labels, videos.name)
        learned = learned_line(named.config, videos, split)
        notes += [learned] if learned else []
    else:
        notes.append(f'the videos are not at hand, so there are no pictures: {problem}')
    folder = Path(text) if is_run(text) else None
    run = None if folder is None else run_facts(folder)
    for path, scores in _kept(folder, asked.protocol or named.net.protocol) if folder else ():
        if (asked.protocol in (None, scores.protocol)) and _is_of(path, scores, named.net, videos, folder):
            return Subject(named.title, scores, str(path), named.net, run, videos, tuple(notes))
    if problem is not None:
        raise problem
    scores, file = _evaluate(named.net, videos, asked, folder)
    return Subject(named.title, scores, file, named.net, run, videos, tuple(notes), True)


def _kept(folder: Path, protocol: str) -> Iterator[Tuple[Path, Any]]:
    """Score files in the folder of a run: those of its own protocol first, of these the newest."""
    from ..evaluation.score import Scores

    paths = [path for pattern in ('*scores*.npz', 'report/scores_*.npz', 'report.npz') for path in folder.glob(pattern)]
    loaded = []
    for path in sorted(paths, key=lambda path: -path.stat().st_mtime):
        try:
            loaded.append((path, Scores.load(path)))
        except UserError as error:
            click.echo(f'note: {error}', err=True)
    yield from sorted(loaded, key=lambda item: item[1].protocol != protocol)


def _is_of(path: Path, scores: Any, net: Any, videos: Any, folder: Optional[Path] = None) -> bool:
    """Whether scores are of a network and of the whole list of videos; None: of any.

    Those of former versions, which do not say what they are of, are believed where they are newer than the weights of
    their run.
    """
    from ..evaluation.provenance import network_sha256
    from ..evaluation.score import video_ids
    from ..evaluation.sharing import WHOLE
    from ..training.run import is_current

    made = scores.made
    if made is not None:
        same = made.shard == WHOLE and (videos is None or made.videos == videos.fingerprint)
        return bool(same and made.network == network_sha256(net))
    if videos is not None and {*scores.ids, *scores.failed} != set(video_ids(videos)):
        return False
    return folder is not None and is_current(path, folder / 'best.params')


def _evaluate(net: Any, videos: Any, asked: Asked, folder: Optional[Path]) -> Tuple[Any, str]:
    """Score all videos, and keep the scores beside the page; goes on where it was killed."""
    from ..evaluation import partial
    from ..evaluation.protocol import get_protocol
    from ..evaluation.report import report_paths, write_report
    from ..evaluation.score import score_dataset
    from ..evaluation.sharing import WHOLE
    from ..evaluation.work import Work

    views = get_protocol(asked.protocol or net.protocol)
    paths = report_paths(str(asked.page.with_suffix(SCORES)), asked.force)
    why = f'{folder} has no scores of its weights on them; ' if folder else ''
    click.echo(
        f'{why}evaluating {net.name} on {len(videos)} videos of {videos.name}, views of each: '
        f'{views.count(videos.labels)} ({views.name})'
    )
    kept = paths[0].with_suffix('.partial')
    scores = score_dataset(
        net,
        videos,
        views,
        asked.ctx,
        asked.batch_size,
        asked.workers,
        execution=asked.execution,
        part=Work(WHOLE, kept, asked.force),
    )
    write_report(scores, paths)
    partial.remove(kept)
    return scores, str(paths[0])


# Of a score file


def _of_scores(text: str, asked: Asked, first: bool) -> Subject:
    from ..evaluation.score import Scores

    scores = Scores.load(text)
    subject = Subject(scores.model or Path(text).stem, scores, text)
    if not first:
        return subject
    named, run, notes = _network_of(text, scores, asked)
    videos, missing = _videos_of(scores, named or run, asked) if asked.pictures else (None, ())
    net = named.net if named else None
    facts = run_facts(run) if run is not None and net is not None else None
    return subject._replace(net=net, run=facts, videos=videos, notes=(*notes, *missing))


def _network_of(text: str, scores: Any, asked: Asked) -> Tuple[Any, Optional[Path], Tuple[str, ...]]:
    """(network of a score file or None, folder of its run or None, what there is to say)."""
    from ..training.named import is_run, load_model

    path = Path(text).absolute()
    run = next((folder for folder in (path.parent, path.parent.parent) if is_run(folder)), None)
    if asked.model is not None:
        named = load_model(asked.model, None, asked.ctx)
        if tuple(named.net.classes or ()) != scores.classes or not _same_network(text, scores, named.net, None):
            raise UserError(f'{text} holds scores of other weights than those of --model {asked.model}; leave it out')
        return named, Path(asked.model) if is_run(asked.model) else None, ()
    source = str(run) if run is not None and (run / 'best.params').is_file() else _published(scores.model)
    if source is None:
        return None, run, ()
    named = load_model(source, None, asked.ctx)
    if _same_network(text, scores, named.net, run):
        return named, run, ()
    note = f'the weights of {source} are others than those of {text}, so it is not asked where it looked'
    return None, run, (note,)


def _same_network(text: str, scores: Any, net: Any, run: Optional[Path]) -> bool:
    if scores.made is None and run is None:
        return True  # nothing is known: the user, or the name, has to be believed
    return _is_of(Path(text), scores, net, None, run)


def _published(name: str) -> Optional[str]:
    """A name of the zoo whose weights lie here; None for another, and where they would have to be fetched."""
    from .. import registry
    from ..weights.index import find
    from ..weights.zoo import copies

    entry = find(name) if registry.is_known(name) else None
    if entry is None or all(wrong for _, wrong in copies(entry.file, entry.sha256, entry.bytes, None)):
        return None
    return name


def _videos_of(scores: Any, known: Any, asked: Asked) -> Tuple[Any, Tuple[str, ...]]:
    """(the videos of a score file, or None where they are not at hand; what there is to say)."""
    from ..data.catalog import build_dataset, list_datasets
    from ..training.run import run_config

    data = asked.data
    kind, _, split = scores.dataset.partition(' ')
    kind, split = data.dataset or kind, data.split or split
    config = run_config(known) if isinstance(known, Path) else known and known.config
    own = config.data if config is not None and config.data.dataset == kind else None
    root = data.root or (own.root if own else None)
    wanted = data.root is not None or data.dataset is not None
    if kind not in list_datasets():
        if wanted:
            raise unknown('dataset', kind, list_datasets())
        return None, (f'no pictures: {scores.dataset or "their data"} is no data set; name it, --dataset and --root',)
    if root is None or not os.path.exists(root):
        where = f'{root} is not there' if root else 'the videos are not at hand'
        if wanted and root:
            raise UserError(f'--root {root}: no such folder of {kind}')
        return None, (f'no pictures: {where}; name their folder with --root',)
    try:
        videos = build_dataset(kind, split, root)
    except UserError as error:
        if wanted:
            raise
        return None, (f'no pictures: {error}',)
    videos.flow = data.flow or (own.flow if own else None)
    return _with_all(videos, scores, root)


def _with_all(videos: Any, scores: Any, root: str) -> Tuple[Any, Tuple[str, ...]]:
    """The videos, if those that were scored are among them."""
    from ..evaluation.score import video_ids

    there = set(video_ids(videos))
    missing = [name for name in scores.ids if name not in there]
    if not missing:
        return videos, ()
    return None, (
        f'no pictures: {len(missing)} of the {len(scores.ids)} videos are not in {videos.name} of {root}, first '
        f'{missing[0]}; name the data that were scored with --dataset, --root and --split',
    )
