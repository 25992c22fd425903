"""Pages opened in a headless browser: what it complains of, what a script sees there, and what it looks like.

A copy of the page lies beside it while the browser runs, so that its links lead where they lead, with two scripts: one
that collects errors from the first byte on, one that acts when all is loaded and says what it saw. It is shown in a
frame of the wanted size, since a browser's own window does not get as narrow as a phone.
"""

import html
import json
import re
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any, List, NamedTuple

import cv2
import pytest

CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
needs_browser = pytest.mark.skipif(not CHROMIUM, reason='no browser here')
ACCESS = Path(__file__).with_name('access.js').read_text(encoding='utf-8').rstrip()
NARROWEST = 500  # pixels of the browser's window

_FRAME = """<!DOCTYPE html><html><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<style>body { margin: 0 } iframe { border: 0; display: block; width: %dpx; height: %dpx }</style>
<script>addEventListener('message', e => {
  const note = document.createElement('pre');
  note.id = 'seen';
  note.textContent = JSON.stringify(e.data);
  document.body.append(note);
});</script></head><body><iframe src="%s"></iframe></body></html>"""
_FIRST = """<script>
window.seenErrors = [];
addEventListener('error', e => seenErrors.push(e.message || 'not loaded: ' + (e.target.src || e.target.href)), true);
addEventListener('unhandledrejection', e => seenErrors.push('' + e.reason));
addEventListener('securitypolicyviolation', e => seenErrors.push('policy: ' + e.violatedDirective));
</script>"""
_LAST = """<script>
addEventListener('load', async () => {
  const images = [...document.images];
  images.forEach(i => { i.loading = 'eager'; });
  await Promise.all(images.map(i => i.complete || new Promise(done => { i.onload = i.onerror = done; })));
  let value = null;
  try { value = await (async () => { %s })(); } catch (e) { seenErrors.push('script of the test: ' + e); }
  const opened = performance.now() / 1000;
  parent.postMessage({
    value: JSON.parse(JSON.stringify(value === undefined ? null : value)), errors: seenErrors,
    broken: [...document.images].filter(i => !i.naturalWidth).map(i => i.alt || i.src.slice(0, 80)),
    images: document.images.length, opened, flaws: %s,
    asked: [...performance.getEntriesByType('resource').map(r => r.name),  // knows no files beside the page
      ...[...document.querySelectorAll('[src], [srcset], link[href], image, use')].map(
        e => e.getAttribute('src') || e.getAttribute('srcset') || e.getAttribute('href') || '')]
      .filter(name => name && !/^(data:|#)/.test(name)),
    spills: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  }, '*');
});
</script>"""


class Seen(NamedTuple):
    """What a browser saw of a page.

    Parameters
    ----------
    value
        what the test's script returned, through JSON
    complaints
        messages of the console, uncaught errors, things that were not loaded: empty for a good page
    broken
        alternative texts (or addresses) of pictures that show nothing
    images
        number of pictures
    asked
        addresses of everything that the page takes from elsewhere: empty for a self-contained page
    spills
        pixels by which the page is wider than the window: 0 unless the reader has to scroll sideways
    opened
        seconds from the start of loading until all pictures were there and the script was done; waiting costs none
    """

    value: Any
    complaints: List[str]
    broken: List[str]
    images: int
    asked: List[str]
    spills: int
    opened: float
    flaws: List[str]


def look(page, script='', width=1280, height=900, dark=False, timeout=120) -> Seen:
    """Open a page, run JavaScript in it (the body of an async function; what it returns is `value`), see what came.

    >>> look('report.html', "document.querySelector('th').click(); return document.querySelector('td').textContent")
    """
    page = Path(page).resolve()
    copy = page.with_name(f'{page.stem[:60]}.{uuid.uuid4().hex}.html')
    text = page.read_text(encoding='utf-8')
    head = re.search(r'<head[^>]*>', text)
    assert head and '</body>' in text, f'{page} is no whole page'
    end = text.rindex('</body>')
    parts = (text[: head.end()], _FIRST, text[head.end() : end], _LAST % (script, ACCESS), text[end:])
    copy.write_text(''.join(parts), encoding='utf-8')
    try:
        done = _run(copy, width, height, dark, timeout, '--virtual-time-budget=20000', '--dump-dom')
    finally:
        copy.unlink()
    noted = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.S)
    assert noted, f'{page} was not loaded to its end:\n{done.stderr[-2000:]}'
    seen = json.loads(html.unescape(noted.group(1)))
    console = [line.split('CONSOLE', 1)[1] for line in done.stderr.splitlines() if 'CONSOLE' in line]
    return Seen(complaints=seen.pop('errors') + console, **seen)


def check_page(page, script='', **window) -> Seen:
    """`look` at a page that has to be good: no complaint, no missing picture, nothing fetched or too wide, no flaw."""
    seen = look(page, script, **window)
    assert (seen.complaints, seen.broken, seen.asked, max(seen.spills, 0), seen.flaws) == ([], [], [], 0, [])
    return seen


def screenshot(page, out, width=1280, height=900, dark=False, timeout=120, anchor='') -> Path:
    """Take a PNG picture of the top of a page, or of what comes from an anchor on, for people to look at."""
    out = Path(out).resolve()
    if out.exists():
        out.unlink()
    options = f'--screenshot={out}', '--hide-scrollbars'
    done = _run(Path(page).resolve(), width, height, dark, timeout, *options, anchor=anchor)
    assert out.is_file(), done.stderr[-2000:]
    cv2.imwrite(str(out), cv2.imread(str(out))[:, :width])
    return out


def _run(page, width, height, dark, timeout, *options, anchor=''):
    home = Path(tempfile.mkdtemp(prefix='browser-'))
    (home / 'frame.html').write_text(
        _FRAME % (width, height, html.escape(f'{page.as_uri()}#{anchor}')), encoding='utf-8'
    )
    command = [
        CHROMIUM, '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
        '--no-first-run', '--mute-audio', '--disable-extensions', f'--user-data-dir={home}', '--enable-logging=stderr',
        f'--window-size={max(width, NARROWEST)},{height}', f'--blink-settings=preferredColorScheme={0 if dark else 1}',
        *options, (home / 'frame.html').as_uri(),
    ]  # fmt: skip
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    finally:
        shutil.rmtree(home, ignore_errors=True)  # the browser's last helpers may still write there
