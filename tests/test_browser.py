"""The harness that opens pages in a browser: it has to see what is wrong, or no page's test can fail."""

from browser import look, needs_browser

DOT = 'data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=='
PAGE = """<!DOCTYPE html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><style>
body { margin: 0; background: #ffffff } @media (prefers-color-scheme: dark) { body { background: #102030 } }
</style></head><body><img src="%s" alt="dot">%s</body></html>"""


@needs_browser
def test_a_browser_sees_what_is_wrong_with_a_page(tmp_path):
    page = tmp_path / 'page # 1.html'
    wrong = '<img src="gone.png" alt="no such file" loading="lazy"><p style="width: 900px">wide</p>'
    page.write_text(PAGE % (DOT, f'{wrong}<script>missing(); "</p>"</script>'), encoding='utf-8')
    seen = look(
        page, "return [innerWidth, matchMedia('(prefers-color-scheme: dark)').matches, 'ü</pre>']", 390, 600, True
    )
    assert seen.value == [390, True, 'ü</pre>'] and seen.images == 2 and seen.broken == ['no such file']
    assert 'Uncaught ReferenceError: missing is not defined' in seen.complaints
    assert seen.asked == ['gone.png'] and seen.spills == 900 - 390
    assert [path.name for path in tmp_path.iterdir()] == ['page # 1.html']


FAULTY = """<h3>skipped</h3><img src="%s" alt=""><canvas></canvas><input><select></select><button></button>
<a href="#x"></a><p id="x" style="color: #777777">faint</p>
<p id="x" style="color: #767676">enough</p><table><tr><th>a</th></tr></table>
<p style="font-size: 24px; color: #949494">large</p><p style="opacity: .5">half</p><svg role="img"></svg>
<p style="background: #000">black</p>"""


@needs_browser
def test_a_browser_says_what_keeps_people_from_using_a_page(tmp_path):
    page = tmp_path / 'page.html'
    page.write_text(PAGE % (DOT, FAULTY % DOT), encoding='utf-8')
    flaws = look(page).flaws
    kinds = [flaw.partition(':')[0] for flaw in flaws]
    assert kinds.count('control without a label') == 2 and kinds.count('drawing without words') == 2
    assert kinds.count('nothing to read on') == 2 and kinds.count('picture without words') == 1
    assert {'id twice', 'no language', 'not one h1', 'head of a table without scope'} < set(kinds)
    # of grey on white #767676 is the lightest that suffices (W3C); black at half its strength 3.98
    assert [flaw for flaw in flaws if 'contrast' in flaw] == [
        'contrast 4.48: faint', 'contrast 3.98: half', 'contrast 1.00: black',
    ]  # fmt: skip
    good = '<h1>a</h1><h2>b</h2><label>c <input></label><svg role="img" aria-label="d"></svg>'
    page.write_text((PAGE % (DOT, good)).replace('<html', '<html lang="en"'), encoding='utf-8')
    assert look(page).flaws == []
