"""`gluon-fg explain gradcam`: which places of a video speak for a class, or for a class over another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import click

from ..errors import UserError
from .base import Command
from .explain import path_of, say_predictions
from .options import ModelChoice, Output, device_option, flow_option, model_options, output_options

if TYPE_CHECKING:
    from ..analysis.grad_cam import Evidence
    from ..analysis.sanity import Sanity

_SUFFIXES = ('.png', '.mp4', '.npz', '.html')


@click.command(
    short_help='Show which places of a video speak for a class.',
    cls=Command,
    example="""
explain gradcam clip.mp4 --model i3d_tiny_synthfg --out evidence.png
explain gradcam clip.mp4 --run runs/mine --class opening --against closing --out evidence.mp4
explain gradcam clip.mp4 --model i3d_tiny_synthfg --sanity --out evidence.html
explain gradcam clip.mp4 --model slowfast_4x16_resnet50_kinetics400 --out evidence.png
""",
)
@click.argument('video', metavar='VIDEO')
@model_options
@click.option('--class', 'name', metavar='NAME', help='The class. [default: the predicted one]')
@click.option('--against', metavar='NAME', help='Another class: what speaks for --class over it is shown, too.')
@click.option(
    '--layer',
    metavar='NAME',
    help='Whose features: F2 to F5, or a block, such as res4.0. [default: the last stage that the whole prediction '
    'rests on, F5 for most]',
)
@click.option(
    '--start', type=int, metavar='FRAME', help="First frame of the picture's clip. [default: the middle clip]"
)
@click.option('--columns', type=int, default=8, show_default=True, help='Frames in the picture, at most.')
@click.option(
    '--sanity', is_flag=True, help='Check that the map depends on what was learned: compare with random weights.'
)
@flow_option
@device_option
@output_options(
    'maps.png or maps.html (one clip), maps.mp4 (the whole video), or maps.npz (the whole video, arrays).',
    required=True,
)
def gradcam(
    video: str,
    network: ModelChoice,
    name: Optional[str],
    against: Optional[str],
    layer: Optional[str],
    start: Optional[int],
    columns: int,
    sanity: bool,
    flow: Optional[str],
    device: str,
    output: Output,
) -> None:
    """Show by Grad-CAM which places of a video speak for a class, for any network (Selvaraju et al. 2017).

    --model takes GluonCV's own networks, too. With --against, what speaks for one class over another: what both look
    at cancels out, and what tells them apart is left. Networks of two streams show which stream said it. With --sanity
    the weights are made random from the classifier down: a map that does not change then explains nothing (Adebayo et
    al. 2018).
    """
    output.check(suffixes=_SUFFIXES, inputs=[path for path in (video, network.params) if path])
    network.check()
    whole = path_of(output).lower().endswith(('.mp4', '.npz'))
    if whole and start is not None:
        raise UserError(f'--out {output.out} is of the whole video; leave out --start, or choose .png or .html')
    if columns < 1:
        raise UserError(f'--columns must be at least 1, got {columns}')
    from ..analysis.grad_cam import GradCam
    from ..analysis.network_facts import spec_of
    from ..analysis.sanity import sanity as checked_maps
    from ..evaluation.clips import clips_of
    from ..training.devices import computing_device

    with clips_of([video], flow)[0].open() as reader:
        if start is not None and not 0 <= start < len(reader):
            raise UserError(f'--start {start}: {video} has the frames 0 to {len(reader) - 1}')
        ctx = computing_device(device)
        title, net = _load(network, ctx)
        if flow is not None and not spec_of(net).fields:
            raise UserError(f'--flow {flow}: {title} sees no optical flow; leave it out')
        cam = GradCam(net, layer, ctx)
        alone: List[Tuple[Optional[str], Optional[str]]] = [(name, None)]
        questions = alone if against is None else [(name, against), (name, None), (against, None)]
        shown = [evidence._replace(name=title) for evidence in cam.answers(reader, questions, start, whole)]
        say_predictions(title, shown[0].predictions)
        for evidence in shown:
            click.echo(f'  {_line(evidence)}')
        checked = checked_maps(cam, reader, shown[0].target, shown[0].against, start) if sanity else None
        if checked is not None:
            _say_sanity(checked)
        _write(output, shown, reader, checked, columns, spec_of(net).ndim == 2)
    click.echo(f'wrote {output.out}')


def _load(network: ModelChoice, ctx: Any) -> Tuple[str, Any]:
    """What to call the network, and the network; GluonCV's own, too, by their names there."""
    from .. import registry
    from ..evaluation.load import fits, parse_options
    from ..factory import get_model, gluoncv_names
    from ..weights.params_file import read_params

    name = network.name or ''
    if registry.is_known(name) or name.lower() not in gluoncv_names():
        title, net, _ = network.load(ctx)
        return title, net
    options: Dict[str, Any] = parse_options(network.options)
    if network.params is None:
        return name, get_model(name, pretrained=True, ctx=ctx, **options)
    arrays, net = read_params(network.params), get_model(name, ctx=ctx, **options)
    wanted = net._collect_params_with_prefix()
    wrong = sorted(set(arrays) ^ set(wanted))
    wrong = wrong or [key for key, p in wanted.items() if not fits(p.shape, arrays[key].shape)]
    if wrong:
        raise UserError(f"{network.params} does not fit GluonCV's {name}: {wrong[0]}; choose a file of that network")
    net.load_parameters(network.params, ctx=ctx)
    return name, net


def _line(evidence: Evidence) -> str:
    """What one evidence comes to."""
    streams = ''.join(f', {name} {total:+.2f}' for name, total in evidence.totals.items())
    return f'{evidence.layer}: {evidence.title}: {evidence.total:+.2f}{streams}, maps: {len(evidence.maps.maps)}'


def _say_sanity(checked: Sanity) -> None:
    click.echo('  random down to  rank correlation  (lowest to highest)   SSIM  features alone')
    for step in checked.steps:
        ranks = step.ranks
        click.echo(
            f'  {step.block:14}  {ranks.mean():16.2f}  ({ranks.min():6.2f} to {ranks.max():6.2f})  '
            f'{step.likeness.mean():9.2f}  {step.feature_ranks.mean():14.2f}'
        )
    click.echo(f'  {checked.verdict}')


def _write(
    output: Output, shown: List[Evidence], reader: Any, checked: Optional[Sanity], columns: int, images: bool
) -> None:
    from ..files import atomic_write
    from ..visualization import maps
    from ..visualization.figures import save_figure
    from ..visualization.grad_cam import arrays, evidence_sheet, write_evidence_page

    path = path_of(output)
    suffix = path.lower()[-4:]
    if suffix == '.npz':
        import numpy as np

        with atomic_write(path, 'wb') as stream:
            np.savez_compressed(stream, **arrays(shown))
    elif suffix == '.mp4':
        maps.film(path, evidence_sheet(shown, images), reader)
    elif suffix == '.png':
        save_figure(maps.picture(evidence_sheet(shown, images), reader, columns), path)
    else:
        write_evidence_page(path, shown, reader, checked, output.force)
