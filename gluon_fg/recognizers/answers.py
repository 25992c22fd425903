"""What the logits of a network say: one class of many, or of each class whether the video shows it."""

from __future__ import annotations

from typing import Optional

import mxnet as mx

from ..errors import UserError
from .losses import binary_cross_entropy, cross_entropy


class Answers:
    """How a recognizer's logits become probabilities and losses.

    Attributes
    ----------
    takes_multi_label
        whether the method makes sense where videos have several labels
    threshold
        the least probability of the likeliest class for an answer: below it `predict` says 'none of these'. None: the
        likeliest class is always the answer
    """

    takes_multi_label = True
    _multi_label = False
    threshold: Optional[float] = None

    @property
    def multi_label(self) -> bool:
        """Whether a video may have several labels: sigmoid and binary cross-entropy in place of the softmax's.

        Setting it changes no parameter. Raises UserError for a method that needs a single class.
        """
        return self._multi_label

    @multi_label.setter
    def multi_label(self, multi_label: bool) -> None:
        if multi_label and not self.takes_multi_label:
            raise UserError(
                f'{getattr(self, "name", "this network")} looks where the single likeliest class is told from others, '
                'so that it cannot give videos several labels; choose its baseline, DFB or CIDC'
            )
        self._multi_label = bool(multi_label)

    def to_probabilities(self, logits: mx.nd.NDArray) -> mx.nd.NDArray:
        """Logits (N, M) of a branch as probabilities, in float32: softmax, or sigmoid where `multi_label`."""
        logits = logits.astype('float32')
        return mx.nd.sigmoid(logits) if self.multi_label else mx.nd.softmax(logits, axis=1)

    def branch_loss(self, logits: mx.nd.NDArray, target: mx.nd.NDArray) -> mx.nd.NDArray:
        """(N,) loss of a branch's logits (N, M): `cross_entropy`, where `multi_label` `binary_cross_entropy`."""
        return (binary_cross_entropy if self.multi_label else cross_entropy)(logits, target)
