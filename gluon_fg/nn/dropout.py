"""Dropout whose masks obey the seed on every device."""

from __future__ import annotations

from mxnet.gluon import nn


class Dropout(nn.Dropout):
    """Drops a share of its input at random in training and scales up the rest, by masks that `mx.random.seed` decides.

    Gluon's own block leaves the masks on a GPU to cuDNN, whose random state MXNet 1.9.1 fills once, from C's `rand()`
    (`dropout-inl.h` and `resource.cc` there): no seed reaches it, all processes of a job draw the same masks, and a
    resumed run begins their sequence anew. MXNet's own kernel, taken here, draws from the generator that the seed sets,
    as on the CPU, where nothing changes. Not run on a GPU by us.

    Parameters
    ----------
    rate
        share of the numbers that is dropped, in [0, 1)

    Inputs, outputs:
        - any shape; in prediction what came in
    """

    def hybrid_forward(self, F, x):
        return F.Dropout(x, p=self._rate, cudnn_off=True, name='fwd') if self._rate else F.identity(x)
