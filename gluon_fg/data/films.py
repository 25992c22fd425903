"""Two short real films that other projects publish, for a first prediction; nothing of them is in this package."""

from __future__ import annotations

from typing import NamedTuple, Tuple


class Film(NamedTuple):
    """A file on the web.

    Parameters
    ----------
    file, sha256, bytes
        what it is called here, its checksum (64 hex digits) and size
    url
        its address, of one commit
    source
        whose it is, and the license of the project that publishes it
    """

    file: str
    sha256: str
    bytes: int
    url: str
    source: str


FILMS: Tuple[Film, ...] = (
    Film(
        'arm_wrestling.mp4',
        '071e60535eaf0aed475ddac06269ee0cdfc4740158f22d9ccd2c3b93b42aa344',
        635539,
        'https://raw.githubusercontent.com/open-mmlab/mmaction2/4d6c93474730cad2f25e51109adcf96824efc7a3/demo/demo.mp4',
        'the demo of MMAction2 (Apache-2.0)',
    ),
    Film(
        'flipping_a_pancake.mkv',
        '56279fa0f498d4fe45b7419cdd9d245d4118ab16ec720ec638fe3a1dba146d3a',
        436346,
        'https://raw.githubusercontent.com/dmlc/decord/d2e56190286ae394032a8141885f76d5372bd44b/examples/'
        'flipping_a_pancake.mkv',
        'an example of decord (Apache-2.0)',
    ),
)
