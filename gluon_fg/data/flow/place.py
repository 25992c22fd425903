"""Where the optical flow of a video is looked for."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional


class FlowPlace(NamedTuple):
    """Says where the flow of a video is looked for; `sources.open_fields` opens it.

    Parameters
    ----------
    source
        a folder of flow, as `gluon-fg data flow` writes it or others have it; 'dis': computed on the way; None: beside
        the video's frames, else in the dataset's root or a folder `flow` there, else computed
    root
        the dataset's root; '' where there is no dataset
    keep
        takes the network's input and returns the flow, opened: of videos that are kept in memory, of which `film` may
        be a part; None for others
    """

    source: Optional[str] = None
    root: str = ''
    keep: Optional[Callable[[Any], Any]] = None
