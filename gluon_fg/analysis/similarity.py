"""How similar classes are to a network: which channels of its features they fire (Zhao et al., sec. III-A, eqs. 1, 2).

    features of a split -> sparsity of each class (`nn.class_similarity`) -> S, for each kind of features

`similarity_accuracy` sets S against the accuracies of the classes.
"""

from __future__ import annotations

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock

from .. import safe_json
from ..data.datasets import VideoDataset
from ..errors import UserError
from ..evaluation.score import check_classes, class_names, known_to
from ..files import atomic_write
from ..nn.class_similarity import ChannelActivity, Pair, distance, related_pairs
from ..npz import NpzError, read_npz
from .clips import require_recognizer
from .features import video_features

FORMAT = 1  # of the file


class Similarity(NamedTuple):
    """How similar classes are by one kind of features.

    Parameters
    ----------
    kind
        which features: a name of `Recognizer.feature_kinds`, or of the network's own matrix (`class_relation`)
    branch
        the prediction whose accuracy belongs to it; None: the fused one
    matrix
        (M, M) float64 symmetric, 1 on the diagonal: 1 - mean absolute difference of sparsities, not stretched. NaN in
        rows and columns of classes without videos
    """

    kind: str
    branch: Optional[str]
    matrix: np.ndarray

    @property
    def stretched(self) -> np.ndarray:
        """S as in `nn.class_similarity.similarity`, with the least similar pair at 0; NaN where the matrix has it."""
        apart = 1 - self.matrix
        widest = np.nanmax(apart)
        return 1 - apart / widest if widest > 0 else np.where(np.isnan(apart), np.nan, 1.0)


class ClassSimilarity(NamedTuple):
    """Similarities of classes, with the names of the network, the data and the classes, and the classes' groups."""

    model: str
    source: str
    classes: Tuple[str, ...]
    groups: Optional[Tuple[str, ...]]
    kinds: Tuple[Similarity, ...]

    @property
    def of_network(self) -> bool:
        """Whether it is the network's own matrix, which says nothing about distances between features."""
        return self.source == _its(self.kinds[0].kind)

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Write a compressed .npz, atomically; nothing pickled."""
        meta = {
            'format': FORMAT,
            'kind': 'class similarity',
            'model': self.model,
            'source': self.source,
            'classes': self.classes,
            'groups': self.groups,
            'kinds': [(similarity.kind, similarity.branch) for similarity in self.kinds],
        }
        matrices = {f'matrix_{i}': similarity.matrix for i, similarity in enumerate(self.kinds)}
        with atomic_write(path, 'wb') as stream:
            np.savez_compressed(stream, meta=np.array(json.dumps(meta)), **matrices)

    @classmethod
    def load(cls, path: Union[str, os.PathLike]) -> ClassSimilarity:
        """Read what `save` wrote; raises UserError for a missing file or anything else."""
        if not os.path.isfile(path):
            raise UserError(f'no file of class similarities {path}')
        try:
            arrays = read_npz(path, {'meta': 'U', 'matrix_*': 'f', '*': 'fiubU'})
            meta = safe_json.parse(str(arrays['meta']))
            known = meta['kind'] == 'class similarity' and meta['format'] == FORMAT
            problem = _problem(meta, arrays) if known else ''
        except (NpzError, KeyError, ValueError, TypeError) as error:
            reason = f' ({error})' if isinstance(error, NpzError) else ''
            raise UserError(f'{path}: not a file of `gluon-fg explain similarity`, or cut short{reason}') from None
        if not known:
            raise UserError(
                f'{path}: {str(meta["kind"])[:40]} of format {str(meta["format"])[:20]}; '
                'choose a file of `gluon-fg explain similarity`'
            )
        if problem:
            raise UserError(f'{path}: {problem}; the file is damaged, make it anew with `gluon-fg explain similarity`')
        matrices = [arrays[f'matrix_{i}'] for i in range(len(meta['kinds']))]
        return cls(
            meta['model'],
            meta['source'],
            tuple(meta['classes']),
            None if meta['groups'] is None else tuple(meta['groups']),
            tuple(Similarity(kind, branch, m) for (kind, branch), m in zip(meta['kinds'], matrices)),
        )


def _problem(meta: Dict[str, Any], arrays: Dict[str, np.ndarray]) -> str:
    """What is wrong with the content of a file, if anything."""
    texts = [meta['model'], meta['source'], *meta['classes'], *(meta['groups'] or [])]
    texts += [text for kind, branch in meta['kinds'] for text in (kind, branch or '')]
    classes = meta['classes']
    if not all(isinstance(text, str) for text in texts) or not isinstance(classes, list) or not meta['kinds']:
        return 'its names are none'
    if meta['groups'] is not None and len(meta['groups']) != len(classes):
        return f'it has {len(meta["groups"])} groups for {len(classes)} classes'
    for i in range(len(meta['kinds'])):
        matrix = arrays[f'matrix_{i}']
        if matrix.shape != (len(classes),) * 2 or np.isinf(matrix).any():
            return f'a matrix of shape {matrix.shape}, or with infinite numbers, is none of {len(classes)} classes'
    return ''


def class_similarity(
    net: HybridBlock,
    dataset: VideoDataset,
    source: str,
    ctx: Optional[mx.Context] = None,
    workers: int = 2,
    progress: bool = False,
) -> ClassSimilarity:
    """Similarities of classes by each kind of a network's features, over a dataset: one view of each video.

    Parameters
    ----------
    net, dataset, ctx, workers, progress
        as for `video_features`; memory does not depend on the number of videos
    source
        what to call the data
    """
    require_recognizer(net)
    dataset = known_to(net, dataset)
    known = check_classes(net, dataset.labels, dataset.name)
    counters: List[ChannelActivity] = []
    for video in video_features(net, dataset, None, ctx, workers, progress):
        if not counters:
            counters = [ChannelActivity(net.nclass, len(values)) for values in video.values]
        for counter, values in zip(counters, video.values):
            counter.add(values[None], np.array([video.label]))
    kinds = tuple(
        Similarity(kind.name, kind.branch, 1 - distance(counter.sparsity()))
        for kind, counter in zip(net.feature_kinds, counters)
    )
    return ClassSimilarity(str(net.name), source, known.classes, known.groups, kinds)


def relation_similarity(net: HybridBlock) -> ClassSimilarity:
    """The matrix by which a network relates its classes (`Recognizer.class_relation`): similarities, or 0 and 1.

    Of the latter, eq. 7 counts the classes that each class is confused with.

    Raises
    ------
    UserError
        a network without one, or one that training has not filled
    """
    require_recognizer(net)
    relation = net.class_relation
    if relation is None:
        raise UserError(f'{net.name} has no matrix that relates its classes; leave out --own to count over videos')
    name, matrix, _ = relation
    if (matrix == np.eye(len(matrix))).all():
        raise UserError(f'the {name} of {net.name} has no pair of classes: training has not built it yet, or left none')
    similarity = Similarity(name, None, (matrix + matrix.T) / 2)
    groups = net.labels.groups if net.labels is not None else None
    return ClassSimilarity(str(net.name), _its(name), class_names(net), groups, (similarity,))


def _its(name: str) -> str:
    """The source of a network's own matrix."""
    return f'its {name}'


def training_similarity(net: HybridBlock, path: Union[str, os.PathLike]) -> ClassSimilarity:
    """Similarities that a run counted before its first update, over the training set (arrays `sparsity`, `videos`).

    Parameters
    ----------
    net
        the run's network
    path
        the .npz that training wrote into the run's folder

    Raises
    ------
    UserError
        another file, or one of another number of classes
    """
    try:
        arrays = read_npz(path, {'sparsity': 'f', 'videos': 'iu', '*': 'fiubU'})
        sparsity, videos = arrays['sparsity'], int(arrays['videos'])
        if sparsity.ndim != 2 or np.isinf(sparsity).any():
            raise ValueError('no sparsities')
    except (NpzError, ValueError, TypeError) as error:
        raise UserError(f'{path}: not a file of class sparsities written by training, or cut short') from error
    if len(sparsity) != net.nclass:
        raise UserError(f'{path}: {len(sparsity)} classes; {net.name} has {net.nclass}')
    similarity = Similarity(f'{net.global_branch} after stage 1', None, 1 - distance(sparsity))
    groups = net.labels.groups if net.labels is not None else None
    return ClassSimilarity(str(net.name), f'{videos} training videos', class_names(net), groups, (similarity,))


def most_similar(similar: ClassSimilarity, kind: int = 0, count: int = 5) -> List[Pair]:
    """The most similar pairs of classes by one kind of features, by stretched S."""
    s = np.nan_to_num(similar.kinds[kind].stretched, nan=-1.0)
    return [pair for pair in related_pairs(np.ones_like(s), s, similar.classes)[:count] if pair.similarity >= 0]
