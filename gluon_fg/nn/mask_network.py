"""Mask network of U2S: which categories' masks the specific network looks through (Zhao et al., U2S, sec. III-A)."""

from __future__ import annotations

from typing import Any, Optional

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from ..errors import UserError, unknown

SELECTIONS = ('csm', 'predicted', 'soft', 'oracle')  # a, b, c and f of table III
SIMILARITIES = ('absolute', 'clipped', 'signed')


@mx.init.register
class IdentityMatrix(mx.init.Initializer):
    """Ones on the diagonal: by name alone, where a constant's values would be written into every exported graph."""

    def _init_weight(self, name, array):
        array[:] = mx.nd.eye(array.shape[0], dtype=array.dtype)


class MaskNetwork(HybridBlock):
    """A mask for every category, and the average of those that the universal prediction may be confused with (Fig. 3).

        x -> 1x1x1 convolution -> M masks --------------------> average of the selected ones -> mask
                                    '- average pool -> z_M        |
        z_U -> argmax = i -> categories j with CSM[j, i] = 1 -----'

    Computed in another order with the same result: convolution and averages are linear, so z_M is read from pooled
    features, and each clip's selected filters are averaged before they meet its features. The M masks themselves, M
    times the work, are made by `masks` alone, for pictures.

    No gradient goes to z_U: the selection is an argmax.

    Parameters
    ----------
    classes, in_channels
        number of categories, M; channels of the features, C
    select
        'csm', the paper's; 'predicted', category i's own mask alone; 'soft', all masks, weighted by column i of a
        real-valued CSM (the similarities S), weights of sum 1; 'oracle', as 'csm' with the true label for i: table III
        a, b, c, f
    ndim
        3 for clips, 2 for images
    weight_initializer
        of the convolution; None: standard deviation 0.01, so that gates start open by half everywhere
    similarity
        of two filters, for `weight_similarity` and `regularization`. Their cosine's absolute value ('absolute') lies
        between 0 and 1, as the paper's, and is least where they are orthogonal. 'clipped' is the cosine where it is
        positive and else 0, and lets filters point against each other. 'signed', the cosine as it stands, is least
        where the filters of look-alikes sum to nothing, and so does then the mask, which is their average

    Attributes
    ----------
    weight, bias
        of the convolution: (M, C, 1, 1, 1), or (M, C, 1, 1) for images, and (M,)
    csm
        (M, M), not trained but saved and loaded; the identity until `set_csm`, so that category i selects itself

    Inputs:
        - **x**: universal features X_U (N, C, T, H, W), or (N, C, H, W) when `ndim` is 2
        - **z_universal**: logits (N, M), one row for each of x; equal logits count for the lower category
        - **label**: (N,) true categories 0..M-1; needed by 'oracle', which then leaves z_universal aside; left aside by
          all others. One outside gives a mask of NaN

    Outputs:
        - **mask**: (N, 1, T, H, W), or (N, 1, H, W), before its gate: see `MaskGate`
        - **z_M**: logits (N, M)

    Raises
    ------
    UserError
        unknown selection or similarity, `ndim` neither 2 nor 3, a count below 1; called with features or logits of
        other sizes, or for the oracle without labels
    """

    def __init__(
        self,
        classes: int,
        in_channels: int,
        select: str = 'csm',
        ndim: int = 3,
        weight_initializer: Any = None,
        similarity: str = 'absolute',
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if select not in SELECTIONS:
            raise unknown('mask selection', select, SELECTIONS)
        if similarity not in SIMILARITIES:
            raise unknown('similarity of filters', similarity, SIMILARITIES)
        if ndim not in (2, 3):
            raise UserError(f'ndim must be 2 (images) or 3 (clips), got {ndim!r}')
        for name, count in (('classes', classes), ('in_channels', in_channels)):
            if count < 1:
                raise UserError(f'{name} must be at least 1, got {count!r}')
        self.select, self._similarity = select, similarity
        self._classes, self._channels, self._ndim = classes, in_channels, ndim
        with self.name_scope():
            self.weight = self.params.get(
                'weight',
                shape=(classes, in_channels, *(1,) * ndim),
                init=mx.init.Normal(0.01) if weight_initializer is None else weight_initializer,
            )
            self.bias = self.params.get('bias', shape=(classes,), init='zeros')
            self.csm = self.params.get(
                'csm', shape=(classes, classes), init=IdentityMatrix(), grad_req='null', differentiable=False
            )

    def __call__(self, x, z_universal, label=None):
        if self.select != 'oracle':
            label = None
        elif label is None:
            raise UserError("select 'oracle' takes the true labels as third input; without labels choose 'csm'")
        if isinstance(x, mx.nd.NDArray):
            if x.ndim != 2 + self._ndim or x.shape[1] != self._channels:
                layout = 'T, H, W' if self._ndim == 3 else 'H, W'
                raise UserError(
                    f'features have shape {x.shape}; this mask network takes (N, {self._channels}, {layout})'
                )
            if z_universal.shape != (len(x), self._classes):
                raise UserError(
                    f'universal logits have shape {z_universal.shape}; '
                    f'this mask network takes ({len(x)}, {self._classes})'
                )
        return super().__call__(x, z_universal if label is None else label)

    def hybrid_forward(self, F, x, selector, weight, bias, csm):
        if self.select != 'oracle':  # then it is the labels; here in float32, as bfloat16 cannot count to 257
            selector = F.argmax(F.cast(F.BlockGrad(selector), dtype='float32'), axis=1)
        share = F.one_hot(selector, self._classes)  # (N, M)
        if self.select != 'predicted':
            share = F.dot(share, csm, transpose_b=True)  # each clip's column of the CSM
            share = F.broadcast_div(share, F.sum(share, axis=1, keepdims=True))
        w = F.reshape(weight, shape=(self._classes, self._channels))
        filters = F.expand_dims(F.dot(share, w), axis=1)  # (N, 1, C)
        offset = F.expand_dims(F.dot(share, F.expand_dims(bias, axis=1)), axis=2)  # (N, 1, 1)
        mask = F.broadcast_add(F.batch_dot(filters, F.reshape(x, shape=(0, 0, -1))), offset)  # (N, 1, positions)
        mask = F.reshape_like(mask, F.slice_axis(x, axis=1, begin=0, end=1))
        pooled = F.mean(x, axis=tuple(range(2, 2 + self._ndim)))
        z_m = F.broadcast_add(F.dot(pooled, w, transpose_b=True), F.expand_dims(bias, axis=0))
        return mask, z_m

    def masks(self, x: mx.nd.NDArray) -> mx.nd.NDArray:
        """(N, M, T, H, W), or (N, M, H, W): every category's mask before its gate (Fig. 6); x as for the block."""
        F, ctx = (mx.nd, x.context) if isinstance(x, mx.nd.NDArray) else (mx.sym, None)
        weight, bias = (self._value(parameter, F, ctx) for parameter in (self.weight, self.bias))
        return F.Convolution(x, weight, bias, kernel=(1,) * self._ndim, num_filter=self._classes)

    def filters(self) -> np.ndarray:
        """The categories' filters, (M, C) float32."""
        return self.weight.data(self.weight.list_ctx()[0]).asnumpy().reshape(self._classes, self._channels)

    def weight_similarity(self, F: Any = mx.nd, ctx: Optional[mx.Context] = None) -> Any:
        """S^w (M, M), how similar the categories' filters are to each other (eq. 4): see `similarity`.

        Parameters
        ----------
        F
            `mx.nd`, or what a block's `hybrid_forward` was given
        ctx
            where to compute, for parameters on several devices
        """
        w = F.reshape(self._value(self.weight, F, ctx), shape=(self._classes, self._channels))
        # Filters of zeros are similar to nothing, and get a finite gradient.
        w = F.broadcast_div(w, F.sqrt(F.sum(F.square(w), axis=1, keepdims=True) + 1e-24))
        cosine = F.dot(w, w, transpose_b=True)
        if self._similarity == 'signed':
            return cosine
        return F.abs(cosine) if self._similarity == 'absolute' else F.relu(cosine)

    def regularization(self, F: Any = mx.nd, ctx: Optional[mx.Context] = None) -> Any:
        """w_regular (1,), the mean of S^w over the pairs of confusing categories, 0 where there are none (eqs. 5, 6).

        The pairs are the ones of CSM - I; a real-valued CSM weights them. Differentiable with respect to `weight`, in
        `hybrid_forward` (pass its F) and outside.

        **Not outside beside a static graph.** Where one backward pass reaches a parameter through a graph hybridized
        with `static_shape` and on another way too, MXNet 1.9.1 puts the sum into a new array: `Parameter.grad()`, which
        trainers read, keeps the first step's gradient for good. So a network's own training computes it in the graph
        and returns it beside the logits.

        Parameters
        ----------
        F, ctx
            as for `weight_similarity`
        """
        csm = self._value(self.csm, F, ctx)
        pairs = csm - F.diag(F.diag(csm))
        count = F.sum(pairs)
        total = F.sum(pairs * self.weight_similarity(F, ctx))
        return total / (count + (count == 0))

    def set_csm(self, csm: Any) -> None:
        """Put a category similarity matrix in place; graphs that exist already use it from now on.

        Parameters
        ----------
        csm
            (M, M) array with a unit diagonal: 0 or 1, or 0 to 1 for 'soft'. `csm[j, i]` is of mask j for a clip
            predicted i

        Raises
        ------
        UserError
            another number of categories, or values that the selection cannot use
        """
        csm = csm.asnumpy() if isinstance(csm, mx.nd.NDArray) else np.asarray(csm)
        if csm.shape != (self._classes, self._classes):
            sizes = 'x'.join(map(str, csm.shape))
            raise UserError(f'the CSM is {sizes}; this network has {self._classes} classes')
        if not ((csm >= 0) & (csm <= 1)).all():
            raise UserError(f'the CSM has values from {csm.min()} to {csm.max()}; similarities lie between 0 and 1')
        if not (np.diag(csm) == 1).all():
            raise UserError('the CSM has a diagonal of other values than 1; each category selects itself')
        if self.select != 'soft' and not np.isin(csm, (0, 1)).all():
            raise UserError(f"select {self.select!r} takes a CSM of 0 and 1; for real values choose 'soft'")
        self.csm.set_data(mx.nd.array(csm, dtype='float32'))

    @staticmethod
    def _value(parameter, F, ctx):
        return parameter.data(ctx) if F is mx.nd else parameter.var()
