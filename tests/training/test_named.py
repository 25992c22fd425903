"""Networks as commands are given them."""

import os

import pytest

from gluon_fg.errors import UserError
from gluon_fg.training import named


@pytest.mark.parametrize('folder, title', [('u2s', 'u2s'), ('__a__U2S', 'a__U2S'), ('_', '_')])
def test_a_run_is_called_as_its_folder_and_no_legend_hides_it(folder, title, tmp_path, monkeypatch):
    monkeypatch.setattr(named, 'load_run', lambda name, *rest: ('net', f'config of {os.path.basename(name)}'))
    (tmp_path / folder).mkdir()
    (tmp_path / folder / 'config.yaml').write_text('')
    (one,) = named.load_named([str(tmp_path / folder)])
    assert one == (title, 'net', f'config of {folder}')


def test_parameters_are_given_for_each_or_for_none():
    with pytest.raises(UserError, match='1 files of parameters for 2 models; give one for each'):
        named.load_named(['a', 'b'], ['a.params'])
