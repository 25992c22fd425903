"""`gluon-fg zoo publish`: a run's weights into a folder of models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Optional

import click

from ..errors import UserError
from .base import Command
from .options import device_option


@click.command(
    cls=Command,
    example="""
zoo publish runs/dfb --licence Apache-2.0 --repo my_zoo --float16
zoo publish runs/mine --licence CC-BY-4.0 --repo my_zoo --name our_actions_v1
zoo publish --repo my_zoo
""",
)
@click.argument('run', required=False, metavar='[RUN_FOLDER]')
@click.option('--repo', metavar='FOLDER', help="Folder to publish into. [default: model_zoo of the project's checkout]")
@click.option('--name', help='A model of the zoo, or a name of your choice. [default: the model that was trained]')
@click.option('--checkpoint', default='best', show_default=True, help='best (by validation) or final.')
@click.option('--licence', help='Of the weights, for example Apache-2.0.')
@click.option('--source', help='What made the weights, in a line. [default: dataset, epochs and seed of the run]')
@click.option('--float16', is_flag=True, help='Half precision on disk; accuracy is measured on that very file.')
@click.option('--split', metavar='NAME', help='Split of the dataset to measure on. [default: test, else val]')
@click.option('--protocol', metavar='NAME', help="Views of each video. [default: the run's, or the model's]")
@click.option('--root', metavar='FOLDER', help='Folder of the dataset. [default: of the run]')
@click.option('--scores', metavar='FILE.npz', help='Scores that gluon-fg evaluate saved, in place of a new evaluation.')
@click.option('--batch-size', type=int, default=16, show_default=True, help='Views in a forward pass.')
@click.option('--workers', type=int, default=2, show_default=True, help='Decoding threads.')
@device_option
@click.option('--force', '--replace', 'force', is_flag=True, help='Replace weights that are published under the name.')
@click.option('--tables', is_flag=True, help='Write README.md of the folder from its index, and stop.')
def publish(
    run: Optional[str],
    repo: Optional[str],
    licence: Optional[str],
    device: str,
    force: bool,
    tables: bool,
    protocol: Optional[str],
    **settings: Any,
) -> None:
    """Publish the weights of a training run.

    Writes NAME-HASH.params with the network's parameters alone, configs/NAME-HASH.yaml and logs/NAME-HASH.jsonl without
    paths of this machine, the entry in index.yaml, and README.md. The accuracy is measured on the file as published.
    Under a name of your choice the entry keeps what the model was built as, its classes, input and protocol: every
    command, get_model and gluon_fg.predict take that name with GLUON_FG_REPO=https://..., http://... or file:///srv/zoo.

    Without a run, the folder becomes a copy of model_zoo.
    """
    from ..evaluation.protocol import get_protocol
    from ..training import publish as publishing
    from ..training.run import choose_context
    from ..weights import repository
    from ..weights.index import zoo_folder

    folder = repo or zoo_folder()
    if tables:
        publishing.write_page(folder)
        click.echo(f'wrote {folder}/README.md')
        return
    if run is None:
        if repo is None:
            raise UserError('give the folder of a training run, --repo FOLDER or --tables')
        added = repository.mirror(zoo_folder(), folder, force)
        publishing.write_page(folder)
        click.echo(f'{folder}: {len(added)} models added ({", ".join(sorted(added)) or "all were there"})')
        return
    if not licence:
        raise UserError('--licence is missing: say what may be done with the weights, for example Apache-2.0')
    if protocol:
        get_protocol(protocol)  # before anything slow
    measured = ('split', 'root', 'scores', 'batch_size', 'workers')
    measurement = publishing.Measurement(
        protocol=protocol, progress=sys.stderr.isatty(), **{name: settings[name] for name in measured}
    )
    entry = publishing.publish(
        run,
        folder,
        licence,
        settings['source'],
        settings['name'],
        settings['checkpoint'],
        settings['float16'],
        force,
        measurement,
        choose_context(device, 0),
    )
    for dataset, row in entry.metrics.items():
        click.echo(f'{entry.name} on {dataset}: ' + ', '.join(f'{key} {value}' for key, value in row.items()))
    click.echo(f'{folder}/{entry.file}: {entry.bytes} bytes, {entry.dtype}; config {entry.config}, log {entry.log}')
    if repo:
        click.echo(f'next: gluon-fg predict VIDEO --model {repo}/{entry.name}')
        click.echo(f'or by its name alone: GLUON_FG_REPO={Path(repo).resolve().as_uri()} ... --model {entry.name}')
