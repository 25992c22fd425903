"""A report of 10,000 videos and 400 classes: how long it takes, how large it is, how soon a browser has it open.

    python tests/campaigns/large_report.py

The scores are random ones around the true classes, in groups of ten, as no network has made them. With a browser at
hand (`tests/browser.py`) the page is opened, searched and sorted in it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from browser import CHROMIUM, check_page  # noqa: E402

from gluon_fg.evaluation.score import Scores  # noqa: E402
from gluon_fg.visualization.report.content import Content  # noqa: E402
from gluon_fg.visualization.report.page import write_report  # noqa: E402

VIDEOS, CLASSES = 10_000, 400
ASKED = """
const box = document.getElementById('video-table'), words = box.querySelector('input');
const rows = () => box.querySelectorAll('tbody tr');
const began = Date.now();
words.value = 'video_09999';
words.dispatchEvent(new Event('input'));
const hits = [...rows()].map((row) => row.cells[0].textContent);
const searched = Date.now();
words.value = '';
words.dispatchEvent(new Event('input'));
box.querySelector('th button').click();
return { hits, searched: searched - began, sorted: Date.now() - searched, first: rows()[0].cells[0].textContent };
"""


def scores_of(seed: int, skill: float) -> Scores:
    """Scores of a network that no one has trained; `skill` is what the true class has over the others."""
    labels = np.random.default_rng(0).integers(0, CLASSES, VIDEOS)
    logits = np.random.default_rng(seed).normal(size=(VIDEOS, CLASSES)).astype(np.float32)
    logits[np.arange(VIDEOS), labels] += skill
    p = np.exp(1.5 * logits)
    p /= p.sum(axis=1, keepdims=True)
    ids = tuple(f'class_{label:03d}/video_{i:05d}.mp4' for i, label in enumerate(labels))
    classes, groups = tuple(f'class {i:03d}' for i in range(CLASSES)), tuple(f'group {i // 10}' for i in range(CLASSES))
    return Scores(
        ids, labels, p[:, None], ('all',), classes, groups, '30view', {}, f'net{seed}', 'random', logits=1.5 * logits
    )


def main() -> None:
    """Print the figures of a report on one score file, and on two."""
    a, b = scores_of(1, 2.5), scores_of(2, 2.7)
    with tempfile.TemporaryDirectory() as folder:
        for other, titles in ((None, ('net1',)), (b, ('net1', 'net2'))):
            page = Path(folder, f'{"_".join(titles)}.html')
            began = time.perf_counter()
            write_report(Content(a, other, titles, groups=a.groups, page=page))
            made = time.perf_counter() - began
            line = f'{" and ".join(titles)}: made in {made:.1f} s, {page.stat().st_size / 1e6:.2f} MB'
            if CHROMIUM:
                opened = check_page(page).opened
                seen = check_page(page, ASKED).value
                assert seen['hits'] == [a.ids[-1]] and seen['first'] == min(a.ids)
                line += f', opened in {opened:.2f} s, searched in {seen["searched"]} ms, sorted in {seen["sorted"]} ms'
            print(line)


if __name__ == '__main__':
    main()
