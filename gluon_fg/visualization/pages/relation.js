'use strict';
// The page on look-alike classes: what each threshold of similarity takes. Nothing is computed here but means of masks:
// which cut first takes a pair, and what n and alpha a cut has, is written in the page.
(() => {
  const data = JSON.parse(document.getElementById('relation-data').textContent);
  const el = (name) => document.getElementById(name);
  const classes = data.classes.length;
  const MOST = 100; // pairs, and masks, that are drawn at once
  const MASKS = 8;
  const WIDE = 132; // pixels of a frame

  function numbers(code, Kind) {
    const bytes = Uint8Array.from(atob(code), (letter) => letter.charCodeAt(0));
    return new Kind(bytes.buffer);
  }

  const kinds = data.kinds.map((kind) => ({
    ...kind,
    entry: numbers(kind.entry, Uint32Array),
    alphas: numbers(kind.alphas, Float64Array),
    ones: numbers(kind.ones, Uint32Array),
    values: numbers(kind.values, Float64Array),
  }));
  const own = data.own && numbers(data.own, Uint8Array);
  const mistakes = data.mistakes && numbers(data.mistakes, Uint32Array);
  const wrong = mistakes && mistakes.reduce((sum, count) => sum + count, 0);
  const state = { kind: kinds[0], cut: 0, stops: [], cell: null, fresh: true };

  // Place of a pair in the arrays: row by row of the upper triangle.
  function place(i, j) {
    const [a, b] = i < j ? [i, j] : [j, i];
    return a * classes - (a * (a + 1)) / 2 + b - a - 1;
  }
  const taken = (i, j) => state.kind.entry[place(i, j)] <= state.cut;
  const likeness = (i, j) => state.kind.values[state.kind.entry[place(i, j)] - 1];
  const pairsAt = (cut) => state.kind.ones[cut] / 2;
  const countAt = (cut) => 1 + state.kind.ones[cut] / classes;

  function make(tag, attributes = {}, text = null) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== null) made.textContent = text;
    return made;
  }

  // Every cut is a stop of the slider; of very many all of the first 500, which tell look-alikes apart, and some others.
  function stopsOf(kind) {
    const last = kind.alphas.length - 1;
    const stops = [];
    for (let cut = 0; cut <= last; cut = cut < 500 ? cut + 1 : Math.ceil(cut * 1.01)) stops.push(cut);
    if (stops[stops.length - 1] !== last) stops.push(last);
    return stops;
  }

  function nearest(list, wanted) {
    let best = 0;
    list.forEach((value, at) => { if (Math.abs(value - wanted) < Math.abs(list[best] - wanted)) best = at; });
    return best;
  }

  // The cut that takes what a threshold takes: the pairs with S at or above it.
  function cutOf(alpha) {
    let cut = 0;
    while (cut < state.kind.values.length && state.kind.values[cut] >= alpha) cut += 1;
    return cut;
  }
  const cutFor = (count) => nearest(Array.from(state.kind.ones, (ones) => 1 + ones / classes), count);

  const short = (number) => String(Number(number.toPrecision(4)));

  // Words -------------------------------------------------------------------------------------------------------------

  function told() {
    const { kind, cut } = state;
    const all = (classes * (classes - 1)) / 2;
    const parts = [
      `n = ${countAt(cut).toFixed(2)}: so many classes a prediction selects on average, itself counted`,
      `${pairsAt(cut)} of ${all} pairs`,
    ];
    if (data.groups) {
      let inside = 0;
      eachPair((i, j) => { inside += data.groups[i] === data.groups[j]; });
      if (pairsAt(cut)) parts.push(`${Math.round((100 * inside) / pairsAt(cut))} % of them inside a group`);
    }
    if (mistakes && wrong) {
      let inside = 0;
      eachPair((i, j) => { inside += mistakes[place(i, j)]; });
      parts.push(`${inside} of ${wrong} mistakes are between them`);
    }
    if (own && kind.own !== null) {
      let apart = 0;
      own.forEach((mine, at) => { apart += mine !== (kind.entry[at] <= cut ? 1 : 0); });
      parts.push(apart ? `${apart} pairs other than in its ${data.name}` : `the very pairs of its ${data.name}`);
    }
    return `alpha ${short(kind.alphas[cut])}, ${parts.join('; ')}.`;
  }

  function eachPair(act) {
    let at = 0;
    for (let i = 0; i < classes; i += 1) {
      for (let j = i + 1; j < classes; j += 1, at += 1) if (state.kind.entry[at] <= state.cut) act(i, j);
    }
  }

  function selectedBy(predicted) {
    const others = [];
    for (let j = 0; j < classes; j += 1) if (j !== predicted && taken(predicted, j)) others.push(j);
    return others.sort((a, b) => state.kind.entry[place(predicted, a)] - state.kind.entry[place(predicted, b)] || a - b);
  }

  function showPairs() {
    const chosen = el('class').value;
    const list = [];
    if (chosen === '') eachPair((i, j) => list.push([i, j]));
    else selectedBy(Number(chosen)).forEach((j) => list.push([Number(chosen), j]));
    list.sort((a, b) => state.kind.entry[place(...a)] - state.kind.entry[place(...b)]);
    const rows = list.slice(0, MOST).map(([i, j]) => {
      const row = make('tr');
      row.append(make('td', {}, `${data.classes[i]} / ${data.classes[j]}`), make('td', { class: 'n' }, likeness(i, j).toFixed(3)));
      if (own) row.append(make('td', {}, own[place(i, j)] ? 'yes' : 'no'));
      if (mistakes) row.append(make('td', { class: 'n' }, String(mistakes[place(i, j)])));
      return row;
    });
    el('pairs').replaceChildren(...rows);
    el('rest').textContent = list.length > MOST ? `The ${MOST} most similar of ${list.length} pairs.` : '';
    if (chosen === '') el('selects').textContent = list.length ? '' : 'No pair: each class selects itself alone.';
    else {
      const others = selectedBy(Number(chosen));
      el('selects').textContent = `A prediction of ${data.classes[chosen]} selects ${1 + others.length} ${others.length ? 'classes' : 'class'}, itself counted.`;
    }
  }

  // Pictures ----------------------------------------------------------------------------------------------------------

  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const ramp = (colors, share) => colors[Math.max(0, Math.min(colors.length - 1, Math.round(share * (colors.length - 1))))];
  const side = Math.max(2, Math.floor(720 / classes));

  const rgb = (name) => color(name).match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  const base = make('canvas');
  base.width = base.height = classes;

  // The matrix as it is at a cut, a pixel a cell; `mark` draws it with its lines, and the cell that is pointed at.
  function showMatrix() {
    const pen = base.getContext('2d');
    const pixels = pen.createImageData(classes, classes);
    const [paper, ink] = [rgb('--raised'), rgb('--ink')];
    for (let r = 0; r < classes; r += 1) {
      for (let c = 0; c < classes; c += 1) {
        const [i, j] = [data.order[r], data.order[c]];
        let shown = ink;
        if (c > r) shown = ramp(data.scale, likeness(i, j));
        else if (c < r && !taken(i, j)) shown = paper;
        pixels.data.set([...shown, 255], 4 * (r * classes + c));
      }
    }
    pen.putImageData(pixels, 0, 0);
    el('matrix').setAttribute('aria-label', `Matrix of ${classes} classes: their similarities, and the ${pairsAt(state.cut)} pairs that the threshold takes`);
    mark();
  }

  function mark() {
    const canvas = el('matrix');
    canvas.width = canvas.height = side * classes;
    const pen = canvas.getContext('2d');
    pen.imageSmoothingEnabled = false;
    pen.drawImage(base, 0, 0, canvas.width, canvas.height);
    if (data.groups) {
      pen.beginPath();
      data.order.forEach((i, r) => {
        if (!r || data.groups[i] === data.groups[data.order[r - 1]]) return;
        pen.moveTo(r * side, 0);
        pen.lineTo(r * side, canvas.height);
        pen.moveTo(0, r * side);
        pen.lineTo(canvas.width, r * side);
      });
      [['#ffffff', 4], [color('--accent'), 1.5]].forEach(([paint, width]) => {
        pen.strokeStyle = paint;
        pen.lineWidth = width;
        pen.stroke();
      });
    }
    if (state.cell) {
      pen.strokeStyle = '#e64b3c';
      pen.lineWidth = Math.max(2, side / 8);
      pen.strokeRect(state.cell[1] * side, state.cell[0] * side, side, side);
    }
  }

  function pointAt(r, c) {
    state.cell = [r, c];
    const [i, j] = [data.order[r], data.order[c]];
    let words = data.classes[i];
    if (i !== j) {
      words += ` / ${data.classes[j]}: S ${likeness(i, j).toFixed(3)}, ${taken(i, j) ? 'taken' : 'not taken'}`;
      if (mistakes) words += `, ${mistakes[place(i, j)]} mistakes`;
    }
    el('cell').textContent = words;
    mark();
  }

  function cellUnder(event) {
    const box = el('matrix').getBoundingClientRect();
    const at = (far, near, long) => Math.min(classes - 1, Math.max(0, Math.floor(((far - near) / long) * classes)));
    return [at(event.clientY, box.top, box.height), at(event.clientX, box.left, box.width)];
  }

  function showSpread() {
    const bins = 40;
    const counts = new Array(bins).fill(0);
    state.kind.entry.forEach((entry) => { counts[Math.min(bins - 1, Math.floor(state.kind.values[entry - 1] * bins))] += 1; });
    const high = Math.max(...counts);
    const alpha = state.kind.alphas[state.cut];
    const svg = (tag, attributes) => {
      const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      return made;
    };
    const chart = svg('svg', { viewBox: '0 0 400 110', class: 'spread', role: 'img', 'aria-label': `Histogram of the similarities of all pairs, with alpha at ${short(alpha)}` });
    counts.forEach((count, at) => {
      const tall = (90 * count) / high;
      const bar = svg('rect', { x: at * 10 + 1, y: 92 - tall, width: 8, height: tall });
      bar.setAttribute('class', (at + 0.5) / bins >= alpha ? 'in' : 'out');
      chart.append(bar);
    });
    const at = 400 * Math.min(1, Math.max(0, alpha));
    chart.append(svg('line', { x1: at, x2: at, y1: 0, y2: 92 }));
    [[0, 'start'], [0.5, 'middle'], [1, 'end']].forEach(([value, anchor]) => {
      const label = svg('text', { x: 400 * value, y: 107, 'text-anchor': anchor });
      label.textContent = value ? String(value) : 'S = 0';
      chart.append(label);
    });
    el('spread').replaceChildren(chart);
  }

  // Masks -------------------------------------------------------------------------------------------------------------

  const clips = data.examples.map((clip) => ({ ...clip, code: clip.masks, masks: null }));
  const stills = new Map();
  document.querySelectorAll('#stills > [data-clip]').forEach((box) => stills.set(Number(box.dataset.clip), [...box.querySelectorAll('img')]));

  // The mean of some classes' masks of a clip: all moments one behind the other.
  function meanMask(clip, labels) {
    if (!clip.masks) clip.masks = numbers(clip.code, Uint16Array);
    const size = clip.size[0] * clip.size[1] * clip.size[2];
    const mean = new Float64Array(size);
    labels.forEach((label) => {
      for (let at = 0; at < size; at += 1) mean[at] += clip.masks[label * size + at] / labels.length;
    });
    return mean.map((step) => clip.low + (step / 65535) * (clip.high - clip.low));
  }

  const sizeOf = (still) => [WIDE, Math.round((WIDE * still.naturalHeight) / still.naturalWidth)];

  // A frame with a mask over it. Cells are spread between their centers, the outermost ones to the edge and beyond.
  function overlay(still, clip, mask, moment, [low, high]) {
    const [, rows, columns] = clip.size;
    const small = make('canvas');
    [small.width, small.height] = [columns + 2, rows + 2];
    const pen = small.getContext('2d');
    const pixels = pen.createImageData(columns + 2, rows + 2);
    for (let y = 0; y < rows + 2; y += 1) {
      for (let x = 0; x < columns + 2; x += 1) {
        const inside = [Math.min(rows, Math.max(1, y)) - 1, Math.min(columns, Math.max(1, x)) - 1];
        const value = mask[(moment * rows + inside[0]) * columns + inside[1]];
        const share = high > low ? (value - low) / (high - low) : 0;
        pixels.data.set([...ramp(data.heat, share), Math.round(255 * (0.2 + 0.45 * share))], 4 * (y * (columns + 2) + x));
      }
    }
    pen.putImageData(pixels, 0, 0);
    const canvas = make('canvas');
    [canvas.width, canvas.height] = sizeOf(still);
    const brush = canvas.getContext('2d');
    brush.filter = 'grayscale(1)';
    brush.drawImage(still, 0, 0, canvas.width, canvas.height);
    brush.filter = 'none';
    const [left, top, right, bottom] = clip.place;
    const [wide, tall] = [((right - left) * canvas.width) / columns, ((bottom - top) * canvas.height) / rows];
    brush.drawImage(small, left * canvas.width - wide, top * canvas.height - tall, wide * (columns + 2), tall * (rows + 2));
    return canvas;
  }

  function maskRow(clip, frames, title, labels) {
    const mask = meanMask(clip, labels);
    const limits = [Math.min(...mask), Math.max(...mask)];
    const row = make('div', { class: 'maskrow' });
    row.append(make('p', {}, `${title} (${short(limits[0])} to ${short(limits[1])})`));
    const strip = make('div', { class: 'strip', role: 'img', 'aria-label': `Mask over ${frames.length} frames: ${title}` });
    frames.forEach((still, moment) => strip.append(overlay(still, clip, mask, moment, limits)));
    row.append(strip);
    return row;
  }

  function showMasks() {
    if (!clips.length) return;
    const clip = clips[Number(el('clip').value)];
    const frames = stills.get(Number(el('clip').value));
    if (!frames.every((still) => still.complete)) {
      Promise.all(frames.map((still) => still.decode())).then(showMasks);
      return;
    }
    const others = selectedBy(clip.predicted);
    const selected = [clip.predicted, ...others];
    const name = data.classes[clip.predicted];
    const right = clip.predicted === clip.label ? 'rightly' : `though it is ${data.classes[clip.label]}`;
    const rows = [make('p', {}, `Predicted: ${name}, ${Math.round(100 * clip.probability)} %, ${right}. At this alpha it selects ${others.length ? `${selected.length} of ${classes} masks` : 'its own mask alone'}.`)];
    const strip = make('div', { class: 'strip', role: 'img', 'aria-label': `Frames ${clip.frames.join(', ')} of ${clip.name}` });
    frames.forEach((still) => {
      const copy = make('canvas');
      [copy.width, copy.height] = sizeOf(still);
      copy.getContext('2d').drawImage(still, 0, 0, copy.width, copy.height);
      strip.append(copy);
    });
    rows.push(strip);
    if (others.length) rows.push(maskRow(clip, frames, `mean of the ${selected.length} selected masks`, selected));
    selected.slice(0, MASKS).forEach((label, at) => rows.push(maskRow(clip, frames, at ? data.classes[label] : `${name}, its own`, [label])));
    if (selected.length > MASKS) rows.push(make('p', { class: 'quiet' }, `and ${selected.length - MASKS} more`));
    el('masks').replaceChildren(...rows);
  }

  // Steering ----------------------------------------------------------------------------------------------------------

  function show(cut, from = null) {
    state.cut = Math.max(0, Math.min(state.kind.alphas.length - 1, cut));
    const alpha = state.kind.alphas[state.cut];
    const slider = el('alpha');
    if (from !== 'alpha') slider.value = nearest(state.stops, state.cut);
    if (from !== 'at') el('at').value = short(alpha);
    if (from !== 'count') el('count').value = countAt(state.cut).toFixed(2);
    slider.setAttribute('aria-valuetext', `alpha ${short(alpha)}, n ${countAt(state.cut).toFixed(2)}`);
    el('told').textContent = told();
    showMatrix();
    showSpread();
    showPairs();
    showMasks();
    if (state.cell) pointAt(...state.cell);
  }

  function begin(kind) {
    state.kind = kind;
    state.stops = stopsOf(kind);
    el('alpha').max = state.stops.length - 1;
    const cut = kind.own === null ? cutFor(Math.min(4, classes)) : kind.own;
    if (clips.length && state.fresh) {
      const partners = clips.map((clip) => data.classes.filter((_, j) => j !== clip.predicted && kind.entry[place(j, clip.predicted)] <= cut).length);
      el('clip').value = partners.indexOf(Math.max(...partners));
    }
    state.fresh = false;
    show(cut);
  }

  el('alpha').addEventListener('input', () => show(state.stops[Number(el('alpha').value)], 'alpha'));
  el('at').addEventListener('change', () => show(cutOf(Number(el('at').value))));
  el('count').addEventListener('change', () => show(cutFor(Number(el('count').value))));
  el('kind').addEventListener('change', () => begin(kinds[Number(el('kind').value)]));
  el('class').addEventListener('change', () => {
    const fitting = clips.findIndex((clip) => String(clip.predicted) === el('class').value);
    if (fitting >= 0) el('clip').value = fitting;
    showPairs();
    showMasks();
  });
  if (el('own')) el('own').addEventListener('click', () => show(state.kind.own));
  if (clips.length) el('clip').addEventListener('change', showMasks);
  el('matrix').addEventListener('pointermove', (event) => {
    const cell = cellUnder(event);
    if (String(cell) !== String(state.cell)) pointAt(...cell);
  });
  el('matrix').addEventListener('click', (event) => {
    const [r] = cellUnder(event);
    el('class').value = data.order[r];
    el('class').dispatchEvent(new Event('change'));
  });
  el('matrix').addEventListener('keydown', (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [r, c] = state.cell || [0, 0];
    const kept = (value) => Math.min(classes - 1, Math.max(0, value));
    pointAt(kept(r + step[0]), kept(c + step[1]));
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', showMatrix);

  window.relation = { show, state, selectedBy, meanMask, clips, kinds, cutFor, cutOf };
  el('relation').hidden = false;
  begin(kinds[0]);
})();
