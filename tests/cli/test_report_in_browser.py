"""Whole reports in a browser: no complaint, no missing picture, a click sorts; as a phone shows them, and dark, too."""

import dataclasses

import numpy as np
import pytest
from browser import check_page, needs_browser

from gluon_fg.evaluation.score import Scores

pytestmark = needs_browser
NAME = '"><img src=x onerror="hit = 1"><script>hit = 2</script>'

# Sort the classes by their first numbers, up and down, find the wrong videos, and click on what a class is taken for
SCRIPT = """
  const texts = (table, place) =>
    [...document.querySelectorAll(`#${table} tbody tr`)].map(row => row.cells[place].textContent);
  const head = [...document.querySelectorAll('#class-table th')].findIndex(th => th.textContent.includes('%'));
  const press = () => document.querySelectorAll('#class-table th button')[head].click();
  const asGiven = texts('class-table', head);
  press();
  const up = texts('class-table', head);
  press();
  const down = texts('class-table', head);
  press();
  const again = texts('class-table', head);
  const taken = document.querySelector('[data-find="video-table"]');
  if (taken) taken.click();
  return {asGiven, up, down, again, hit: window.hit || null,
    ids: [...document.querySelectorAll('section')].map(s => s.id),
    few: taken ? texts('video-table', 0).length : null, images: document.images.length,
    alts: [...document.images].filter(i => !i.alt).length,
    links: [...document.querySelectorAll('#gallery a.path')].map(a => decodeURI(a.href))};
"""


def check_sorted(value):
    """A click sorts, the next one the other way round, a third one undoes it."""
    numbers = {key: list(map(float, value[key])) for key in ('asGiven', 'up', 'down', 'again')}
    assert len(numbers['up']) > 1 and numbers['up'] == sorted(numbers['asGiven'])
    assert numbers['down'] == numbers['up'][::-1] and numbers['again'] == numbers['asGiven']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('reports')


def test_of_a_shipped_network(command, tiny_synthfg, folder):
    page = folder / 'one.html'
    code, out, err = command('report', 'i3d_tiny_synthfg_dfb', '--root', tiny_synthfg, '--pictures', 6, '--out', page)
    assert code == 0 and 'pictures' not in err, err
    seen = check_page(page, SCRIPT, width=390)
    check_sorted(seen.value)
    assert {'summary', 'groups', 'classes', 'gallery', 'failures', 'videos'} <= set(seen.value['ids'])
    assert seen.value['images'] >= 6 * 5 and seen.value['alts'] == 0 and seen.value['hit'] is None
    files = [str(path) for path in (tiny_synthfg / 'test').glob('*.mp4')]
    assert len(seen.value['links']) == 6 and {link[len('file://') :] for link in seen.value['links']} <= set(files)


def test_of_two_score_files_whose_names_are_not_believed(command, folder):
    first = Scores.load(folder / 'one.npz')
    p = np.random.default_rng(0).dirichlet(np.full(24, 0.1), (24, len(first.branch_names))).astype(np.float32)
    changes = {'classes': (NAME, *first.classes[1:]), 'ids': (f'{NAME}.mp4', *first.ids[1:]), 'model': NAME}
    changes['failed'] = {f'gone {NAME}': NAME}
    for name, scores in (('a', first), ('b', dataclasses.replace(first, probabilities=p, logits=None))):
        dataclasses.replace(scores, **changes, made=None).save(folder / f'{name}.npz')
    page = folder / 'two.html'
    code, out, err = command('report', folder / 'a.npz', folder / 'b.npz', '--out', page)
    assert code == 0 and err.count('no pictures') == 1, err
    seen = check_page(page, SCRIPT, dark=True)
    check_sorted(seen.value)
    assert seen.value['hit'] is None and seen.value['links'] == [] and 0 < seen.value['few'] < 24, (
        'whatever is in the names'
    )
    assert {'summary', 'classes', 'gallery', 'videos'} <= set(seen.value['ids'])
