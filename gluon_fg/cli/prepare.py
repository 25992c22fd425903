"""`gluon-fg data prepare`: check a dataset on disk, whichever the catalog has, or render one that is built in."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Optional

import click

from ..errors import UserError
from .base import Command, Group, Several
from .options import Output

# Split -> clips or images: as `data.synthfg` has them, written here so that help needs no MXNet (a test compares).
SIZES = {
    'synthfg': {'train': 2880, 'val': 480, 'test': 960},
    'synthfg_images': {'train': 960, 'val': 160, 'test': 320},
    'synthfg_motion': {'train': 960, 'val': 240, 'test': 480},
}
UNITS = {'synthfg': 'Clips, a multiple of 24.', 'synthfg_images': 'Images, a multiple of 8.'}

NAMED = 5  # of the files that cannot be used, how many are named on the terminal


class Datasets(Group):
    """Commands of the datasets that are made here, and one for all others, under the name of each."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        return self.commands.get(cmd_name) or on_disk(cmd_name)


@click.group(cls=Datasets)
def prepare() -> None:
    """Check every file of a dataset, and write its manifest and a report; or render one.

    gluon-fg data prepare DATASET ROOT is for each dataset that lies on disk: folder, csv, image_folder, kinetics400,
    sthsthv2, ucf101, hmdb51, stanfordcars, ... See gluon-fg data prepare folder --help.
    """


def _rendered(name: str) -> Callable:
    """Make a decorator that adds --root, a size for each split and --seed."""
    unit = UNITS.get(name, 'Clips, a multiple of 12.')

    def decorate(function: Callable) -> Callable:
        function = click.option('--seed', type=int, default=0, show_default=True, help='Of the whole set.')(function)
        for split, count in reversed(list(SIZES[name].items())):
            function = click.option(f'--{split}', type=int, default=count, show_default=True, help=unit)(function)
        text = f'Folder for it. [default: datasets/{name} in $MXNET_HOME or ~/.mxnet]'
        return click.option('--root', metavar='FOLDER', help=text)(function)

    return decorate


@prepare.command('synthfg', example='data prepare synthfg --root data/synthfg --train 48 --val 24 --test 24')
@_rendered('synthfg')
@click.option('--preview', metavar='FILE.png', help='Draw one clip of each class into FILE.png, and stop.')
@click.option('--boxes', is_flag=True, help='With --preview: outline where the detail shows.')
@click.option('--force', is_flag=True, help='With --preview: replace FILE.png.')
def synthfg_clips(
    root: Optional[str], seed: int, preview: Optional[str], boxes: bool, force: bool, **sizes: int
) -> None:
    """Render SynthFG, the built-in fine-grained set; nothing is downloaded."""
    if boxes and not preview:
        raise UserError('--boxes belongs to --preview FILE.png')
    if preview:
        _preview(Output(preview, force, False), seed, boxes)
    else:
        _generate('synthfg', root, seed, sizes)


@prepare.command(
    'synthfg_images', example='data prepare synthfg_images --root data/images --train 48 --val 24 --test 24'
)
@_rendered('synthfg_images')
def synthfg_images(root: Optional[str], seed: int, **sizes: int) -> None:
    """Render single images of SynthFG's kind; nothing is downloaded."""
    _generate('synthfg_images', root, seed, sizes)


@prepare.command(
    'synthfg_motion', example='data prepare synthfg_motion --root data/motion --train 48 --val 24 --test 24'
)
@_rendered('synthfg_motion')
def synthfg_motion(root: Optional[str], seed: int, **sizes: int) -> None:
    """Render clips of bodies that move, of which no frame tells the class; nothing is downloaded."""
    _generate('synthfg_motion', root, seed, sizes)


@prepare.command('films', example='data prepare films --root films')
@click.option('--root', required=True, metavar='FOLDER', help='Folder for them.')
def films(root: str) -> None:
    """Fetch two short real films, 1 MB, from the projects that publish them."""
    from ..data.films import FILMS
    from ..weights.download import fetch

    paths = [fetch(film.file, film.sha256, root, [film.url], film.bytes, attempts=2) for film in FILMS]
    for path, film in zip(paths, FILMS):
        click.echo(f'{path}: {film.source}')
    click.echo(f'next: gluon-fg predict {paths[0]} --model i3d_inceptionv1_same_kinetics400')


def on_disk(name: str) -> click.Command:
    """Make the command that checks a dataset of the catalog which lies on disk."""

    @click.command(
        name,
        cls=Command,
        help=f"""Check every file of {name} and write its manifest and a report.

        Each file is opened, its first, middle and last frames are decoded, and all its bytes are read. The manifest
        makes the next start instant: every command takes it by itself while the dataset has not changed. The report is
        a page for the browser with CSV files beside it: missing, broken, short, duplicates, leaks between splits,
        lengths, classes. Stopped, in whatever way, it goes on where it was. The exit code is 2 when a file is missing
        or cannot be decoded.
        """,
        example=f'data prepare {name} data/{name.lower()}\ndata prepare {name} data/{name.lower()} --frames 32',
    )
    @click.argument('folder', metavar='[ROOT]', required=False)
    @click.option('--root', metavar='FOLDER', help='The same as ROOT.')
    @click.option(
        '--split',
        'splits',
        cls=Several,
        metavar='NAME...',
        help='One split or several, where the dataset takes them also paths of lists. [default: those that are there]',
    )
    @click.option(
        '--out', metavar='FOLDER', help=f'Folder for the manifest and the report. [default: ROOT/.gluon_fg/{name}]'
    )
    @click.option('--workers', type=int, help='Processes; 0: this one alone. [default: one a processor, at most 8]')
    @click.option('--again', is_flag=True, help='Check all files, those too that have not changed since the last time.')
    @click.option('--model', metavar='NAME', help='Say which videos are shorter than a clip of this model or run.')
    @click.option('--frames', type=click.IntRange(1), metavar='N', help='Instead: which are shorter than N frames.')
    @click.option(
        '--reencode',
        metavar='FOLDER',
        help='Then encode the videos anew into FOLDER: short side 256, H.264, a key frame every 16 frames.',
    )
    def command(
        folder: Optional[str], root: Optional[str], out: Optional[str], model: Optional[str], **settings: Any
    ) -> int:
        if folder and root and folder != root:
            raise UserError(f'ROOT {folder} and --root {root} are two folders; give one')
        from ..weights.disk import writing

        place = folder or root
        if not place:
            raise UserError(f'data prepare {name} needs the folder of the dataset: gluon-fg data prepare {name} ROOT')
        try:
            with writing(out or place):
                return _prepare(name, place, out, model, settings)
        except KeyboardInterrupt:
            click.echo('stopped; the same command goes on from here', err=True)
            raise

    return command


def _prepare(name: str, root: str, out: Optional[str], model: Optional[str], settings: Dict[str, Any]) -> int:
    from ..data.findings import clip_length, find
    from ..data.prepare import prepare as check
    from ..data.reencode import check_target
    from ..visualization.health import write_report

    frames, target = settings.pop('frames'), settings.pop('reencode')
    if model and frames:
        raise UserError('give --model or --frames, not both')
    if target:
        check_target(name, root, target)
    needed = clip_length(_input_of(model)) if model else (lambda row: frames) if frames else None
    made = check(name, root, out=out, progress=True, **settings)
    findings = find(made.manifest, needed)
    notes = list(made.absent.values())
    for key, gone in made.manifest.gone.items():
        notes.append(f'split {key}: {len(gone)} videos of its list are not on disk, and left out: see gone.csv')
    for note in notes:
        click.echo(f'note: {note}', err=True)
    page = write_report(made.folder, made.manifest, findings, notes)
    _show(made.manifest, findings)
    click.echo(f'manifest: {made.folder / "manifest.parquet"}')
    click.echo(f'report: {page}')
    if target:
        _reencode(made.manifest, target, settings['workers'])
    return 2 if findings.missing or findings.broken else 0


def _reencode(manifest: Any, folder: str, workers: Optional[int]) -> None:
    from ..data.reencode import reencode

    made = reencode(manifest, folder, workers, progress=True)
    for path, reason in list(made.left_out.items())[:NAMED]:
        click.echo(f'not encoded: {path}: {reason}', err=True)
    files = {row.path: row.bytes for row in made.manifest.rows()}
    before = {row.path: row.bytes for row in manifest.rows() if row.file not in made.left_out}
    click.echo(
        f'encoded anew: {len(files)} of {len(files) + len(made.left_out)} videos, {sum(files.values()) / 1e6:.1f} MB '
        f'in place of {sum(before.values()) / 1e6:.1f} MB'
    )
    click.echo(f'next: gluon-fg data prepare {manifest.dataset} {folder}; train with data.root={folder}')


def _input_of(model: str) -> Any:
    """The input of a network; of the zoo's without its weights."""
    from .. import registry
    from ..factory import setting
    from ..training.named import load_model

    return setting(model).input_spec if registry.is_known(model) else load_model(model).net.input_spec


def _show(manifest: Any, findings: Any) -> None:
    """Print what each split has and how often each kind of trouble was met; the worst by name on stderr."""
    from ..visualization.health import issues

    usable, missing = set(findings.usable), set(findings.missing)
    for key, split in manifest.splits.items():
        places = [place for place, row in enumerate(findings.rows) if row.split == (split.same_as or key)]
        kind = 'images' if findings.rows[places[0]].kind == 'image' else 'videos'
        there = len(places) - len(missing.intersection(places))
        click.echo(
            f'  {key:5} {len(places):5} {kind} of {len(split.labels)} classes, {there} there, '
            f'{len(usable.intersection(places))} usable{f": the same as {split.same_as}" if split.same_as else ""}'
        )
    for issue in issues(findings):
        if issue['count']:
            click.echo(f'  {issue["count"]:5} {issue["title"]}')
    first = [findings.rows[place] for place in sorted({*findings.missing, *findings.broken})]
    for row in first[:NAMED]:
        click.echo(f'error: {row.path}: {"; ".join(row.problems)}', err=True)
    if len(first) > NAMED:
        click.echo(f'error: and {len(first) - NAMED} more, in missing.csv and broken.csv', err=True)


def _generate(dataset: str, root: Optional[str], seed: int, sizes: Dict[str, int]) -> None:
    from ..data import synthfg

    made = synthfg.generate(root, **sizes, seed=seed, progress=sys.stderr.isatty(), dataset=dataset)
    meta = synthfg.read_meta(made, dataset) or {}
    unit = 'images' if dataset == 'synthfg_images' else 'clips'
    title = dataset.replace('synthfg', 'SynthFG').replace('_', ' ')
    click.echo(f'{title}: {len(meta["classes"])} classes in {len(meta["kinds"])} groups, seed {seed}')
    for split, count in sizes.items():
        click.echo(f'  {split:5} {count:5} {unit}  {made / split}.csv')
    click.echo(f'next: gluon-fg data check {dataset} --root {made}')


def _preview(output: Output, seed: int, boxes: bool) -> None:
    import cv2

    from ..data import synthfg
    from ..files import atomic_write

    output.check(suffixes=['.png'], flag='--preview')
    sheet = synthfg.contact_sheet(seed, boxes=boxes)
    with atomic_write(str(output.out), 'wb') as stream:
        stream.write(cv2.imencode('.png', cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    click.echo(f'one clip of each class: {output.out}')
