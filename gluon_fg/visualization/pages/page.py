"""One self-contained HTML file of several sections: template, style and script are inside, nothing is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Sequence, Union

import jinja2
from markupsafe import Markup

from ...files import atomic_write, check_free
from ..figures import FilePath

_HERE = Path(__file__).parent


class Section(NamedTuple):
    """A part of a page with a headline.

    anchor
        its address in the page, as in `page.html#classes`; each once
    title
        the headline, also in the table of contents
    body
        what is below it: `Markup` as the kit's parts make it, in which every text of others is escaped
    lead
        a sentence or two below the headline that says what is to be seen
    """

    anchor: str
    title: str
    body: Markup
    lead: Union[str, Markup] = ''


def write_page(
    path: FilePath,
    title: str,
    subtitle: Union[str, Markup],
    sections: Sequence[Section],
    force: bool = False,
    scripts: Sequence[str] = (),
) -> Path:
    """Write sections as one HTML file that opens without a network, on a phone and in a dark room, too; atomic.

    Parameters
    ----------
    path
        of the page
    title, subtitle
        its headline, and a line below it
    sections
        in their order; the table of contents names them
    force
        whether a file that is there may be replaced
    scripts
        files of this folder that the page needs beside page.js, such as 'relation.js'

    Raises
    ------
    UserError
        the file is there, and `force` is not given
    ValueError
        two sections of one anchor
    """
    anchors = [section.anchor for section in sections]
    if len(set(anchors)) < len(anchors):
        raise ValueError(f'two sections of one anchor: {anchors}')
    check_free(path, force)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(_HERE)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template('page.html').render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        style=Markup((_HERE / 'style.css').read_text(encoding='utf-8')),
        scripts=[Markup((_HERE / name).read_text(encoding='utf-8')) for name in ('page.js', *scripts)],
    )
    with atomic_write(path, 'wb') as stream:
        stream.write(text.encode('utf-8', errors='replace'))  # names of files may hold bytes that are no text
    return Path(path)
