"""Print how far ONNX Runtime and OpenVINO are from MXNet on full-size networks of every family, in Markdown.

    python scripts/onnx_table.py [NAME ...]

Weights are random, with signals of usual size (`gluon_fg.deploy.conversions`); outputs are the logits of all branches
and all that a network shows. The exit code is 1 where one deviates by more than 1e-4 of its largest value. Takes some
minutes.
"""

from __future__ import annotations

import sys

import gluon_fg  # noqa: F401  (first: MXNet before all else)
from gluon_fg.deploy.conversions import compare
from gluon_fg.deploy.exporting import DEVIATION, check_packages
from gluon_fg.errors import run

FAMILIES = (
    'r2d_resnet50_v1_kinetics400',
    'r2d_nl_resnet50_v1_kinetics400',
    'slowonly_resnet50_v1_kinetics400',
    'i3d_resnet50_v1_kinetics400',
    'i3d_resnet50_v1_kinetics400_dfb',
    'i3d_resnet50_v1_kinetics400_cidc',
    'i3d_resnet50_v1_kinetics400_lstm',
    'i3d_resnet50_v1_kinetics400_attention',
    'i3d_nl5_resnet50_v1_kinetics400',
    'i3d_nl10_resnet101_v1_kinetics400',
    'i3d_inceptionv1_kinetics400',
    'i3d_inceptionv1_same_kinetics400',
    'i3d_inceptionv1_same_kinetics400_u2s',
    'i3d_inceptionv3_kinetics400',
    'c3d_bn_kinetics400',
    'topheavy_resnet50_custom',
    'topheavy_resnet50_v2_custom_u2s',
    'tsn_resnet50_v1b_kinetics400',
    'tsn_resnet50_v1b_kinetics400_u2s',
    'tsn_inceptionv1_kinetics400',
    'tsm8f_resnet50_v1b_kinetics400',
    'lstm_inceptionv1_kinetics400',
    'twostream_inceptionv1_kinetics400',
    'twostream_i3d_inceptionv1_same_kinetics400',
    'fused3d_inceptionv1_kinetics400',
    'mobilenetv2_custom_images_dfb',
    'efficientnet_lite0_custom_images_u2s',
    'resnet50_v1b_custom_images_u2s',
)
HEAD = '| network | outputs | runtime | largest deviation | of output | its largest value |'


def main() -> int:
    """Compare the networks named, or one of each family."""
    check_packages('onnx')
    print(HEAD, '|---|---|---|---|---|---|', sep='\n')
    failed = 0
    for name in sys.argv[1:] or FAMILIES:
        for row in compare(name):
            failed += not row.deviation <= DEVIATION
            far = '' if row.deviation <= DEVIATION else ' (too far)'
            shown = [
                f'`{name}`',
                row.outputs,
                row.runtime,
                f'{row.deviation:.1e}{far}',
                f'`{row.worst}`',
                f'{row.scale:.2g}',
            ]
            print('|', ' | '.join(map(str, shown)), '|', flush=True)
    print(f'{failed} deviate by more than {DEVIATION:g}' if failed else f'all within {DEVIATION:g}')
    return int(failed > 0)


if __name__ == '__main__':
    run(main)
