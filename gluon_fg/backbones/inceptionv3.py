"""Inception-V3 for clips (Szegedy et al. 2016, inflated as by Carreira and Zisserman 2017), as GluonCV inflates it.

    stem: conv 3 /2 - conv 3 - conv 3 - pool 3 /2     res2: conv 1 - conv 3
    res3: pool 3 /2 - A - A - A      res4: B /2 - C - C - C - C      res5: D /2 - E - E

A to E are the paper's figures 5, 10, 6, 10 and 7. Time is padded and halved by the stem's first convolution, B and D, 8
in all; height and width are padded at stride 1 only, and the stem's first two convolutions and res2's last not at all.
A 1x7 convolution becomes 7x1x7, a 7x1 7x7x1. Parameter names are those of `inceptionv1.py`, blocks counted from the
pool of res3 on: res3.1 to res3.3, res4.0 to res4.4, res5.0 to res5.2.
"""

from __future__ import annotations

from typing import Any, Dict

from mxnet.gluon import HybridBlock, nn

from .base import Backbone
from .inception import conv_norm, parallel, sequence

_CHANNELS = {2: 192, 3: 288, 4: 768, 5: 2048}

_ONE, _THREE, _FIVE = (1, 1, 1), (3, 3, 3), (5, 5, 5)
_ALONG_W, _ALONG_H = (7, 1, 7), (7, 7, 1)
_TIME_ONLY = (1, 0, 0)  # padding
_HALVED: Dict[str, Any] = {'kernel': _THREE, 'strides': (2, 2, 2), 'padding': _TIME_ONLY}


class InceptionV3(Backbone):
    """I3D Inception-V3; F2 to F5 have 192, 288, 768 and 2048 channels.

    Height and width shrink by a few pixels more than the strides 4, 8, 16 and 32 say, as convolutions are not padded.
    """

    family = 'inceptionv3'

    def __init__(self, **kwargs: Any):
        super().__init__(3, _CHANNELS, 'inceptionv3', **kwargs)
        with self.name_scope():
            self.stem = nn.HybridSequential()
            with self.stem.name_scope():
                self.stem.add(
                    conv_norm(3, 32, **_HALVED),
                    conv_norm(32, 32, _THREE, padding=_TIME_ONLY),
                    conv_norm(32, 64, _THREE),
                    nn.MaxPool3D(3, (1, 2, 2), _TIME_ONLY),
                )
            for stage in _CHANNELS:
                setattr(self, f'res{stage}', self.make_stage(stage))

    def make_stage(self, stage: int) -> HybridBlock:
        blocks = nn.HybridSequential()
        with blocks.name_scope():
            if stage == 2:
                blocks.add(conv_norm(64, 80, _ONE), conv_norm(80, 192, _THREE, padding=_TIME_ONLY))
            elif stage == 3:
                blocks.add(nn.MaxPool3D(3, (1, 2, 2), _TIME_ONLY), _a(192, 32), _a(256, 64), _a(288, 64))
            elif stage == 4:
                blocks.add(_b(288), *(_c(768, width) for width in (128, 160, 160, 192)))
            else:
                blocks.add(_d(768), _e(1280), _e(2048))
        return blocks


def _a(in_channels: int, pooled: int) -> HybridBlock:
    return parallel(
        [conv_norm(in_channels, 64, _ONE)],
        [conv_norm(in_channels, 48, _ONE), conv_norm(48, 64, _FIVE)],
        [conv_norm(in_channels, 64, _ONE), conv_norm(64, 96, _THREE), conv_norm(96, 96, _THREE)],
        [nn.AvgPool3D(3, 1, 1), conv_norm(in_channels, pooled, _ONE)],
    )


def _b(in_channels: int) -> HybridBlock:
    return parallel(
        [conv_norm(in_channels, 384, **_HALVED)],
        [conv_norm(in_channels, 64, _ONE), conv_norm(64, 96, _THREE), conv_norm(96, 96, **_HALVED)],
        [nn.MaxPool3D(3, 2, _TIME_ONLY)],
    )


def _c(in_channels: int, width: int) -> HybridBlock:
    return parallel(
        [conv_norm(in_channels, 192, _ONE)],
        [conv_norm(in_channels, width, _ONE), conv_norm(width, width, _ALONG_W), conv_norm(width, 192, _ALONG_H)],
        [
            conv_norm(in_channels, width, _ONE),
            *(conv_norm(width, width, kernel) for kernel in (_ALONG_H, _ALONG_W, _ALONG_H)),
            conv_norm(width, 192, _ALONG_W),
        ],
        [nn.AvgPool3D(3, 1, 1), conv_norm(in_channels, 192, _ONE)],
    )


def _d(in_channels: int) -> HybridBlock:
    return parallel(
        [conv_norm(in_channels, 192, _ONE), conv_norm(192, 320, **_HALVED)],
        [
            conv_norm(in_channels, 192, _ONE),
            conv_norm(192, 192, _ALONG_W),
            conv_norm(192, 192, _ALONG_H),
            conv_norm(192, 192, **_HALVED),
        ],
        [nn.MaxPool3D(3, 2, _TIME_ONLY)],
    )


def _e(in_channels: int) -> HybridBlock:
    def split() -> HybridBlock:
        return parallel([conv_norm(384, 384, (3, 1, 3))], [conv_norm(384, 384, (3, 3, 1))])

    return parallel(
        [conv_norm(in_channels, 320, _ONE)],
        [sequence(conv_norm(in_channels, 384, _ONE)), split()],
        [sequence(conv_norm(in_channels, 448, _ONE), conv_norm(448, 384, _THREE)), split()],
        [nn.AvgPool3D(3, 1, 1), conv_norm(in_channels, 192, _ONE)],
    )
