"""Throughput against sizes of the input and numbers of processors, as a chart: what `deploy.scaling` measured."""

from __future__ import annotations

from typing import Any, Dict

from matplotlib.figure import Figure

from .charts import chart, open_axes

_TITLES = {
    'frames': 'frames of a clip',
    'size': 'side of a frame, pixels',
    'batch': 'clips of a batch',
    'threads': 'threads of one process',
    'ranks': 'processes of one thread',
}
_COLORS = ('#1b7f5c', '#d39a00', '#b33a2c', '#2a6fbb', '#7b4fa3', '#666666')


def scaling_chart(result: Dict[str, Any]) -> Figure:
    """Draw operations a second against each axis that was measured, a line for each runtime and precision.

    A flat line means that the time grows as the work does.

    Parameters
    ----------
    result
        of `deploy.scaling.measure`
    """
    points = result['points']
    axes = [axis for axis in _TITLES if any(point['axis'] == axis for point in points)]
    kinds = list(dict.fromkeys((point['runtime'], point['precision']) for point in points))
    figure = chart(3.4 * max(len(axes), 1), 3.8)
    panels = figure.subplots(1, max(len(axes), 1), squeeze=False)[0]
    for panel, axis in zip(panels, axes):
        for number, kind in enumerate(kinds):
            chosen = [p for p in points if p['axis'] == axis and (p['runtime'], p['precision']) == kind]
            values, rates = [p['value'] for p in chosen], [p['gflops'] for p in chosen]
            panel.plot(values, rates, 'o-', color=_COLORS[number % len(_COLORS)], markersize=4, label=' '.join(kind))
        panel.set_xticks(sorted({p['value'] for p in points if p['axis'] == axis}))
        panel.set_xlabel(_TITLES[axis], fontsize=9)
        panel.set_ylim(bottom=0)
        open_axes(panel)
    panels[0].set_ylabel('GFLOP/s', fontsize=9)
    panels[0].legend(fontsize=8, frameon=False)
    shape = 'x'.join(map(str, result['shape']))
    figure.suptitle(f'{result["model"]}, {shape}, {result["machine"]["processor"]}', fontsize=10)
    return figure
