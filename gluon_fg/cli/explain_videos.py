"""`gluon-fg explain localize|activation|masks`: where a network looks in a video."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import click

from ..errors import UserError
from .base import Command, Several
from .explain import path_of, say_predictions
from .options import ModelChoice, Output, device_option, flow_option, model_options, output_options

_PARAMS = 'Their parameters, one file for each; - for the default: the published weights, or best.params of a run.'


@click.command(
    short_help='Show where class filters look in videos.',
    cls=Command,
    example='explain localize data/synthfg/test/00005.mp4 --model i3d_tiny_synthfg_dfb --out pictures',
)
@click.argument('videos', nargs=-1, required=True, metavar='VIDEO...')
@model_options
@click.option('--class', 'name', metavar='NAME', help="Whose filters to show. [default: each video's predicted class]")
@click.option('--filter', 'number', type=int, metavar='ID', help='Show this filter alone, and over all videos at once.')
@click.option(
    '--top', type=int, default=3, show_default=True, help='Filters of the class, those with the highest peaks.'
)
@click.option(
    '--box',
    type=click.Choice(['cell', 'receptive_field']),
    default='cell',
    show_default=True,
    help='Extent of the boxes: around the cell, or its whole theoretical receptive field.',
)
@click.option('--cells', type=float, default=2.0, show_default=True, help='Width of a cell box in cells.')
@device_option
@output_options('Folder for pictures, films and peaks.json.', metavar='FOLDER', required=True)
def localize(
    videos: Tuple[str, ...],
    network: ModelChoice,
    name: Optional[str],
    number: Optional[int],
    top: int,
    box: str,
    cells: float,
    device: str,
    output: Output,
) -> int:
    """Show where class filters look: frame, time and box of their highest responses.

    VIDEO is a file, or a folder whose videos are all taken. For each, the filters of its predicted class (or of
    --class, or one --filter) with the highest responses over the whole video: a strip of frames (<video>.png), a film
    with boxes and heat map (<video>.mp4), and peaks.json. With --filter also that filter over all videos in one
    picture. For networks with class filters (*_dfb).
    """
    from ..evaluation.clips import files_of
    from ..training.devices import computing_device
    from ..visualization.localized_videos import Wanted, localize_videos

    ctx, failed = computing_device(device), 0
    net = network.load(ctx).net
    files = files_of(videos, net.input_spec)
    wanted = Wanted(name, number, top, box, cells)
    for done in localize_videos(net, files, path_of(output), wanted, output.force, ctx):
        if done.error is not None:
            failed += 1
            click.echo(f'error: {done.error}', err=True)
            continue
        label, probability = done.predictions[0]
        click.echo(f'{done.path}: predicted {label} ({100 * probability:.1f} %)')
        for peak in done.located.peaks if done.located else ():
            corners = ', '.join(f'{value:.0f}' for value in peak.box)
            click.echo(
                f'  {peak.class_name}  filter {peak.filter}  response {peak.value:.3f}  '
                f'frame {peak.frame}  {peak.seconds:.2f} s  box ({corners})'
            )
        click.echo(f'  wrote {", ".join(done.files)}')
    if failed < len(files):
        grid = f' and {output.out}/filter_{number}.png' if number is not None else ''
        click.echo(f'wrote {output.out}/peaks.json{grid}')
    if failed:
        click.echo(f'{failed} of {len(files)} videos could not be read', err=True)
    return 2 if failed else 0


@click.command(
    short_help='Show where networks respond in a video.',
    cls=Command,
    example='explain activation clip.mp4 --models i3d_tiny_synthfg i3d_tiny_synthfg_cidc --out maps.png',
)
@click.argument('video', metavar='VIDEO')
@click.option(
    '--models', cls=Several, required=True, metavar='NAME...', help='Networks, from top to bottom; or folders of runs.'
)
@click.option('--params', cls=Several, metavar='FILE...', help=_PARAMS)
@click.option(
    '--start', type=int, metavar='FRAME', help="First frame of the picture's clip. [default: the middle clip]"
)
@click.option('--columns', type=int, metavar='N', help='Sub-clips in the picture, at most. [default: 8]')
@click.option('--backbone', is_flag=True, help="Show the backbone's F5, too, where a network shows other features.")
@flow_option
@output_options('maps.png (one clip) or maps.mp4 (the whole video).', required=True)
def activation(
    video: str,
    models: List[str],
    params: List[str],
    start: Optional[int],
    columns: Optional[int],
    backbone: bool,
    flow: Optional[str],
    output: Output,
) -> None:
    """Show where networks respond in each sub-clip of a video, side by side (CIDC figs. 1 and 4).

    Drawn is att(F), the sigmoid of the mean of the features F over their channels (eq. 3): F is F_CIDC of a CIDC
    network, else the last features of the backbone. Colors reach from the lowest to the highest value of each F, which
    the picture states. Any network on clips will do.
    """
    film = _check(output, [video, *params], start, columns)
    from ..analysis.activation import clip_activations, require_clips, video_activations
    from ..evaluation.clips import clips_of
    from ..training.named import load_named
    from ..visualization import maps
    from ..visualization.figures import save_figure

    networks = list(load_named(models, params))
    _check_flow(flow, *(net for _, net, _ in networks))
    with clips_of([video], flow)[0].open() as reader:
        if start is not None and not 0 <= start < len(reader):
            raise UserError(f'--start {start}: {video} has the frames 0 to {len(reader) - 1}')
        shown = []
        for title, net, _ in networks:
            require_clips(net)
            if film:
                shown.append(video_activations(net, reader, title, backbone))
            else:
                shown.append(clip_activations(net, reader, start, title, backbone))
            say_predictions(title, shown[-1].predictions)
            for part, series in shown[-1].parts.items():
                low, high = series.limits
                click.echo(f'  {part}: {len(series.maps)} maps, att {low:.4f} to {high:.4f}')
        drawn = maps.activation_sheet(shown)
        if film:
            maps.film(path_of(output), drawn, reader)
        else:
            save_figure(maps.picture(drawn, reader, columns or 8), path_of(output))
    click.echo(f'wrote {output.out}')


@click.command(
    short_help='Show what the masks of classes select.',
    cls=Command,
    example='explain masks data/synthfg/test/00009.mp4 --run runs/mine --out masks.png',
)
@click.argument('video', metavar='VIDEO')
@model_options
@click.option('--classes', cls=Several, metavar='NAME...', help='Show the masks of these classes.')
@click.option('--partners', type=int, metavar='N', help='Confusing classes to show, at most. [default: 3]')
@click.option(
    '--start', type=int, metavar='FRAME', help="First frame of the picture's clip. [default: the middle clip]"
)
@click.option('--columns', type=int, default=9, show_default=True, help='Sub-clips in the picture.')
@flow_option
@output_options('masks.png (one clip) or masks.mp4 (the whole video).', required=True)
def masks(
    video: str,
    network: ModelChoice,
    classes: List[str],
    partners: Optional[int],
    start: Optional[int],
    columns: int,
    flow: Optional[str],
    output: Output,
) -> None:
    """Show which places and moments the masks of look-alike classes select in a video.

    From top to bottom: the mask of the class that the network's first part predicts, those of the classes it is
    confused with, and the gate made of them. For networks with masks of classes.
    """
    film = _check(output, [video, network.params], start, columns)
    if classes and partners is not None:
        raise UserError('--classes says which masks are shown; leave out --partners')
    from ..analysis.masks import clip_masks, require_masks, video_masks
    from ..evaluation.clips import clips_of
    from ..visualization import maps
    from ..visualization.figures import save_figure

    partners = 3 if partners is None else partners
    with clips_of([video], flow)[0].open() as reader:
        title, net, _ = network.load()
        require_masks(net)
        _check_flow(flow, net)
        if film:
            shown = video_masks(net, reader, classes, partners, title)
            maps.film(path_of(output), maps.mask_sheet(shown), reader)
        else:
            shown = clip_masks(net, reader, start, classes, partners, title)
            save_figure(maps.picture(maps.mask_sheet(shown), reader, columns), path_of(output))
    say_predictions(title, shown.predictions)
    for mask in shown.masks:
        told = f'{mask.role} ({100 * mask.share:.0f} % {shown.branch}, mean {mask.series.maps.mean():.2f})'
        low, high = mask.series.limits
        click.echo(f'  {mask.class_name}: {told}, maps: {len(mask.series.maps)}, {low:.4f} to {high:.4f}')
    low, high = shown.gate.limits
    click.echo(f'  gate, maps: {len(shown.gate.maps)}, {low:.4f} to {high:.4f}')
    click.echo(f'wrote {output.out}')


def _check(output: Output, inputs: list, start: Optional[int], columns: Optional[int]) -> bool:
    """Refuse what does not fit before anything is loaded; returns whether a film is wanted."""
    output.check(suffixes=('.png', '.mp4'), inputs=[path for path in inputs if path not in (None, '-')])
    film = path_of(output).lower().endswith('.mp4')
    if film and start is not None:
        raise UserError('a film shows the whole video; leave out --start, or choose --out *.png')
    if columns is not None and columns < 1:
        raise UserError(f'--columns must be at least 1, got {columns}')
    return film


def _check_flow(flow: Optional[str], *nets: Any) -> None:
    """Refuse a place of optical flow where no network sees any."""
    if flow is not None and not any(net.input_spec.fields for net in nets):
        raise UserError(f'--flow {flow}: {nets[0].name} sees no optical flow; leave it out')
