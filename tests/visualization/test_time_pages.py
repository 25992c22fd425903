"""The page of probes of time, with names that are no markup."""

import numpy as np

from gluon_fg.analysis.time_probes import time_probes
from gluon_fg.evaluation.altered import Alteration
from gluon_fg.evaluation.score import Scores
from gluon_fg.visualization.time_probes import write_time_probes

OPENING, CLOSING = '</script><script>alert(1)</script> $x_1$ "opening" & more', '<img src=x onerror=alert(2)>'


def scores(answers):
    p = np.eye(2, dtype=np.float32)[answers][:, None]
    ids = tuple(map(str, range(20)))
    labels = np.repeat([0, 1], 10)
    return Scores(ids, labels, p, ('fused',), (OPENING, CLOSING), None, 'train_time', {}, 'net <b>', 'set <i>')


def test_names_of_classes_are_text(tmp_path):
    labels = np.repeat([0, 1], 10)
    found = time_probes({Alteration(): scores(labels), Alteration('reversed'): scores(1 - labels),
                         Alteration('shuffled'): scores(labels), Alteration('frozen'): scores(labels)})  # fmt: skip
    assert len(found.reversal.swaps) == 1
    files = [tmp_path / name for name in ('time.html', 'time.png', 'time.json', 'classes.csv')]
    write_time_probes(found, files, ['how <u>it</u> was measured'])
    page = files[0].read_text(encoding='utf-8')
    for markup in ('<script>alert', '<img src=x', 'net <b>', 'set <i>', '<u>it'):
        assert markup not in page
    assert page.count('&lt;img src=x onerror=alert(2)&gt;') >= 5  # sentences, tables and both drawings
    assert '&lt;/script&gt;&lt;script&gt;alert(1)' in page and 'how &lt;u&gt;it' in page
    assert 'id="group-costs"' not in page and 'id="kernels"' not in page
