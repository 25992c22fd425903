"""How a list of videos was read, or refused."""

import pytest

from gluon_fg.errors import UserError


def pairs(data):
    """(path, label) of every video of a dataset."""
    return [(record.path, record.label) for record in data.records]


def refused(call, *arguments, **named):
    """The line that a call is refused with."""
    with pytest.raises(UserError) as error:
        call(*arguments, **named)
    assert '\n' not in str(error.value) and len(str(error.value)) < 500
    return str(error.value)
