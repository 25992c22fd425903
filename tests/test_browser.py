"""The harness that opens pages in a browser: it has to see what is wrong, or no page's test can fail."""

import cv2
from browser import look, needs_browser, screenshot

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


@needs_browser
def test_a_browser_has_nothing_to_say_of_a_good_page(tmp_path):
    page = tmp_path / 'page.html'
    page.write_text(PAGE % (DOT, ''), encoding='utf-8')
    seen = look(page, "return matchMedia('(prefers-color-scheme: dark)').matches")
    assert seen[:6] == (False, [], [], 1, [], 0) and 0 < seen.opened < 20
    for dark, corner in ((False, [255, 255, 255]), (True, [0x30, 0x20, 0x10])):
        picture = cv2.imread(str(screenshot(page, tmp_path / 'page.png', 390, 600, dark)))
        assert picture.shape == (600, 390, 3) and picture[-1, -1].tolist() == corner
