"""`gluon-fg explain place`: whether a network needs the places that it is said to look at."""

from __future__ import annotations

import sys
from typing import Any, List, Optional

import click

from ..deploy.execution import Execution
from .base import Command, Several
from .options import (
    DataChoice,
    ModelChoice,
    Output,
    data_options,
    device_option,
    execution_options,
    model_options,
    output_options,
    print_json,
)


@click.command(
    short_help='Tell whether a network needs what it looks at.',
    cls=Command,
    example="""
explain place --model i3d_tiny_synthfg_dfb --root data/synthfg --limit 1 --out place.html
explain place --run runs/mine --sources grad-cam --fill blur
""",
)
@model_options
@data_options
@click.option('--limit', type=int, metavar='N', help='Only the first N videos of each class.')
@click.option(
    '--sources', cls=Several, metavar='NAME...', help='Sources of evidence. [default: all that the network has]'
)
@click.option(
    '--target',
    type=click.Choice(['predicted', 'true']),
    default='predicted',
    show_default=True,
    help='Whose probability counts.',
)
@click.option(
    '--fill',
    type=click.Choice(['mean', 'blur']),
    default='mean',
    show_default=True,
    help="What covered places show: the clip's mean color, or a blurred copy of it.",
)
@click.option('--steps', type=int, default=10, show_default=True, help='Steps of the curves.')
@click.option(
    '--size', type=float, default=0.25, show_default=True, help="Side of a cover, as a share of the frame's short side."
)
@click.option('--pictures', type=int, default=12, show_default=True, help='Examples in the page.')
@click.option('--batch-size', type=int, default=8, show_default=True, help='Clips in a forward pass.')
@device_option
@execution_options
@output_options('A page (.html) or picture (.png) to write.', json=True)
def place(
    network: ModelChoice,
    data: DataChoice,
    limit: Optional[int],
    sources: List[str],
    target: str,
    fill: str,
    steps: int,
    size: float,
    pictures: int,
    batch_size: int,
    device: str,
    execution: Execution,
    output: Output,
) -> None:
    """Tell whether a network needs the places that it is said to look at.

    Of each video's middle clip, places are covered and the network is asked again: squares around the peaks of each
    source of evidence (class filters, Grad-CAM, activation, masks), then pixels from the most important on (deletion),
    and the other way round (insertion). Beside them the same at random places and in the middle of the frame, and, on
    SynthFG, at the true detail.
    """
    output.check(suffixes=('.html', '.png'))
    network.check_data(data)
    from ..analysis.place_prober import ProbeOptions
    from ..analysis.place_probes import place_probes, probed_videos
    from ..analysis.place_summary import as_dict, findings, format_probes
    from ..evaluation.score import known_to
    from ..training.devices import computing_device
    from ..training.named import dataset_of

    options = ProbeOptions(tuple(sources), target, fill, steps, size)
    ctx = computing_device(device, 0, execution)
    named = network.load(ctx)
    names = options.sources_for(named.net)
    dataset, split = dataset_of(named, data.split, data.dataset, data.root, data.flow)
    dataset = known_to(named.net, dataset)
    truth = _truth(named, data, dataset.root, split)
    videos, passes = len(probed_videos(dataset, limit, truth)), options.passes(len(names) + (truth is not None))
    click.echo(f'{videos} videos, {passes} passes of a clip for each; {", ".join(names)}', err=output.json)
    probes = place_probes(
        named.net, dataset, options, truth, named.title, limit, ctx, batch_size, execution, sys.stderr.isatty()
    )
    if len(probes.paths) < videos:
        click.echo(f'left out: {videos - len(probes.paths)} of {videos} videos, see above', err=True)
    if output.json:
        print_json(as_dict(probes))
    else:
        click.echo(format_probes(probes))
        for told in findings(probes):
            click.echo(f'- {told.text}')
    if output.out is None:
        return
    from ..visualization.charts import save_chart
    from ..visualization.place_probes import examples, place_chart, write_place_page

    if output.out.lower().endswith('.png'):
        save_chart(place_chart(probes), output.out)
    else:
        shown = examples(named.net, dataset, probes, pictures, truth, ctx)
        write_place_page(output.out, probes, shown, dataset.name, output.force)
    click.echo(f'wrote {output.out}', err=output.json)


def _truth(named: Any, data: DataChoice, root: Any, split: str) -> Optional[dict]:
    """The boxes of the true detail, where the dataset is drawn and has them."""
    if (data.dataset or (named.config.data.dataset if named.config else named.net.dataset)) != 'synthfg':
        return None
    from ..data.synthfg import read_truth

    return read_truth(root, split)
