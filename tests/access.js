// What keeps people from using a page as it stands: pictures and controls without words, headings out of order, ids
// twice, text that is too faint (WCAG 2.1 AA: contrast 4.5, of large text 3). Returns a list of sentences.
(() => {
  const flaws = [];
  const say = (flaw) => { if (flaws.length < 20 && !flaws.includes(flaw)) flaws.push(flaw); };
  const shown = (element) => element.getClientRects().length > 0;
  const outline = (element) => element.outerHTML.slice(0, 90);
  const named = (element) => {
    const by = (element.getAttribute('aria-labelledby') || '').split(/\s+/).map((id) => document.getElementById(id));
    const texts = [...(element.labels || []), ...by].filter(Boolean).map((label) => label.textContent);
    return [element.getAttribute('aria-label'), ...texts].some((text) => text && text.trim());
  };

  document.querySelectorAll('img').forEach((image) => { if (!image.alt.trim()) say(`picture without words: ${outline(image)}`); });
  document.querySelectorAll('svg, canvas').forEach((drawing) => {
    const own = drawing.getAttribute('role') === 'img' && named(drawing);
    if (!own && !drawing.closest('[aria-hidden="true"]') && !drawing.closest('[role="img"][aria-label]')) say(`drawing without words: ${outline(drawing)}`);
  });
  document.querySelectorAll('input, select, textarea').forEach((control) => { if (!named(control)) say(`control without a label: ${outline(control)}`); });
  document.querySelectorAll('button, a[href], summary').forEach((control) => {
    if (!control.textContent.trim() && !named(control) && !control.querySelector('img[alt]')) say(`nothing to read on: ${outline(control)}`);
  });
  document.querySelectorAll('th').forEach((head) => { if (!head.hasAttribute('scope')) say(`head of a table without scope: ${outline(head)}`); });

  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  ids.filter((id, at) => ids.indexOf(id) !== at).forEach((id) => say(`id twice: ${id}`));
  if (!document.documentElement.lang) say('no language');
  const heads = [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter(shown);
  if (heads.filter((head) => head.tagName === 'H1').length !== 1) say('not one h1');
  heads.forEach((head, at) => {
    if (at && head.tagName[1] > Number(heads[at - 1].tagName[1]) + 1) say(`heading skips a level: ${head.textContent.slice(0, 60)}`);
  });

  const rgba = (text) => {
    const [r, g, b, a = 1] = (text.match(/[\d.]+/g) || [0, 0, 0, 0]).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0, 1] : [255, 255, 255, 1]);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let count = 0; texts.nextNode() && count < 5000; count += 1) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !shown(element) || element.closest('script, style, noscript, option, [aria-hidden="true"]')) continue;
    const style = getComputedStyle(element);
    const drawn = element instanceof SVGElement;
    const paper = behind(element.closest('svg') || element);
    let opacity = 1;
    for (let at = element; at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    const [r, g, b, a] = rgba(drawn ? style.fill : style.color);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = contrast(over([r, g, b, a * opacity], paper), paper);
    if (ratio < (large ? 3 : 4.5)) say(`contrast ${ratio.toFixed(2)}: ${texts.currentNode.data.trim().slice(0, 50)}`);
  }
  return flaws;
})()
