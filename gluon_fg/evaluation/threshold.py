"""'None of these': how likely the likeliest class has to be, so that it is an answer at all."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

from .. import safe_json
from ..errors import UserError
from ..files import atomic_write
from .score import Scores
from .tables import percent

NONE = 'none of these'
_ANEW = 'remove it, and choose one anew with evaluate --refuse'
FILE = 'threshold.json'  # in the folder of a run


@dataclasses.dataclass(frozen=True)
class Threshold:
    """The least probability of the likeliest class for an answer.

    Parameters
    ----------
    value
        0 to 1: below it the answer is `NONE`
    refused
        the largest share of videos of the known classes that it was to refuse
    videos, dataset, protocol
        what it was chosen on: so many labeled videos of which dataset, seen by which protocol
    """

    value: float
    refused: float
    videos: int
    dataset: str
    protocol: str

    def save(self, folder: Union[str, Path]) -> None:
        """Write it into the folder of a run, atomically; the former is replaced."""
        with atomic_write(Path(folder) / FILE) as stream:
            json.dump(dataclasses.asdict(self), stream, indent=1)


def load_threshold(folder: Union[str, Path]) -> Optional[Threshold]:
    """Read the threshold of a run; None where none was chosen. Raises UserError for a damaged file."""
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        threshold = Threshold(**safe_json.load_mapping(path, _ANEW))
        check_threshold(threshold.value)
    except TypeError as error:
        raise safe_json.damaged(path, str(error), _ANEW) from None
    except UserError as error:
        raise error if str(path) in str(error) else safe_json.damaged(path, str(error), _ANEW) from None
    return threshold


def check_threshold(value: Any) -> float:
    """Return a threshold that is a probability; raises UserError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise UserError(f'a threshold is a probability from 0 to 1, got {value!r}')
    return float(value)


def check_refused(refused: float) -> None:
    """Refuse a share of videos that cannot be the one to refuse; raises UserError."""
    if not 0 <= refused < 1:
        raise UserError(f'the share of videos that may be refused is 0 or more and below 1, got {refused}')


def choose_threshold(scores: Scores, refused: float) -> Threshold:
    """Choose the largest threshold that refuses no more than a share of the videos whose class is known.

    A video is refused where the likeliest class is less likely than the threshold, whether or not it is the right one.
    The more is refused, the fewer videos of other classes get an answer; how many that are, only such videos can tell.

    Parameters
    ----------
    scores
        of labeled videos that the network has not learned
    refused
        0 or more, below 1

    Raises
    ------
    UserError
        another share, or no video has a label
    """
    check_refused(refused)
    likeliest = np.sort(_likeliest(scores)[scores.labels >= 0])
    if not len(likeliest):
        raise UserError(f'{scores.dataset}: no video has a label, so that no threshold can be chosen')
    value = float(likeliest[math.floor(refused * len(likeliest) + 1e-9)])
    return Threshold(value, refused, len(likeliest), scores.dataset, scores.protocol)


def refusals(scores: Scores, threshold: float, strangers: Optional[Scores] = None) -> Dict[str, Any]:
    """Say what a threshold does to scores, ready for JSON.

    Parameters
    ----------
    scores
        of videos; those without a label are taken for ones that show none of the classes
    threshold
        0 to 1
    strangers
        scores of more videos that show none of them, whatever their labels

    Returns
    -------
    dict
        `threshold`; `coverage`: share of the videos of a known class that are answered; `answered`, `answered_top1`:
        how many these are, and the share of them that is right (None without any); `strangers`: how many videos show
        none of the classes; `false_accepts`: the share of them that is answered (None without)
    """
    likeliest, known = _likeliest(scores), scores.labels >= 0
    answered = likeliest >= threshold
    others = answered[~known]
    if strangers is not None:
        others = np.concatenate([others, _likeliest(strangers) >= threshold])
    mine = known & answered
    best = scores.branch().argmax(axis=1)
    right = scores.labels == best if scores.targets is None else scores.targets[np.arange(len(best)), best]
    return {
        'threshold': threshold,
        'coverage': _share(answered[known]),
        'answered': int(mine.sum()),
        'answered_top1': _share(right[mine]),
        'strangers': len(others),
        'false_accepts': _share(others),
    }


def _likeliest(scores: Scores) -> np.ndarray:
    return scores.branch().max(axis=1)


def _share(values: np.ndarray) -> Optional[float]:
    return float(values.mean()) if len(values) else None


def describe_refusals(values: Dict[str, Any]) -> str:
    """The numbers of `refusals` in a line or two."""
    lines = []
    if values['coverage'] is not None:
        lines.append(
            f'threshold {values["threshold"]:.3f}: {percent(values["coverage"])} % of the videos of a known class are '
            f'answered, {percent(values["answered_top1"])} % of these right'
        )
    if values['strangers']:
        lines.append(
            f'threshold {values["threshold"]:.3f}: {percent(values["false_accepts"])} % of {values["strangers"]} '
            'videos of none of the classes (without a label) get an answer all the same'
        )
    return '\n'.join(lines)


def ranked(
    names: Sequence[str], probabilities: np.ndarray, topk: int, threshold: Optional[float] = None
) -> List[Tuple[str, float]]:
    """The likeliest classes of a video as (name, probability), of equal ones the lower number first.

    Where even the first is less likely than the threshold, `NONE` stands before them, with what is left to 1.
    """
    order = np.argsort(-probabilities, kind='stable')[:topk]
    classes = [(names[i], float(probabilities[i])) for i in order]
    if threshold is not None and np.float32(classes[0][1]) < threshold:  # which was chosen from scores in float32
        return [(NONE, 1 - classes[0][1]), *classes]
    return classes
