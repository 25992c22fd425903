"""Where the optical flow of a video is looked for."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional


class FlowPlace(NamedTuple):
    """Says where the flow of a video is looked for; `sources.open_fields` opens it.

    Parameters
    ----------
    source
        a folder of flow, as `gluon-fg data flow` writes it or others have it; 'dis': computed on the way; None: beside
        the video's frames, else in the dataset's root or the folder `flow` there, else computed
    root, path
        the dataset's root, and the video's path below it, or absolute; '' where there is no dataset
    keep
        takes a function that opens the flow, and returns it opened; for videos that are kept in memory, None for others
    """

    source: Optional[str] = None
    root: str = ''
    path: str = ''
    keep: Optional[Callable[..., Any]] = None
