'use strict';
// Confusion matrices: what a cell is, under the pointer or by the arrow keys, and its videos.
document.querySelectorAll('.confusion').forEach((box) => {
  const data = JSON.parse(box.querySelector('script').textContent);
  const size = data.classes.length;
  const counts = new Map(data.cells.map(([row, column, count]) => [row * size + column, count]));
  const [matrix, mark, said] = ['.matrix', '.matrix > b', 'output'].map((name) => box.querySelector(name));
  let at = [0, 0];

  function words() {
    return data.columns.map((column, place) => `${column}="${data.classes[at[place]].replace(/"/g, '""')}"`).join(' ');
  }

  function show(row, column) {
    at = [row, column].map((place) => Math.min(Math.max(place, 0), size - 1));
    Object.assign(mark.style, {
      left: `${(100 * at[1]) / size}%`, top: `${(100 * at[0]) / size}%`, width: `${100 / size}%`, height: `${100 / size}%`,
    });
    mark.hidden = false;
    const [count, total] = [counts.get(at[0] * size + at[1]) || 0, data.totals[at[0]]];
    const share = total ? ` (${((100 * count) / total).toFixed(1)} %)` : '';
    const [name, other] = [document.createElement('strong'), document.createElement('strong')];
    [name.textContent, other.textContent] = [data.classes[at[0]], data.classes[at[1]]];
    said.replaceChildren(name, at[0] === at[1] ? ' is right: ' : ' taken for ', ...(at[0] === at[1] ? [] : [other, ': ']));
    const text = `${count} of ${total} videos${share}`;
    if (!count) {
      said.append(text);
      return;
    }
    const link = document.createElement('a');
    link.href = '#videos';
    Object.assign(link.dataset, { find: data.list, words: words() });
    link.textContent = text;
    said.append(link);
  }

  function under(event) {
    const edges = matrix.getBoundingClientRect();
    const place = (value, start, length) => Math.floor((size * (value - start)) / length);
    show(place(event.clientY, edges.top, edges.height), place(event.clientX, edges.left, edges.width));
  }

  matrix.addEventListener('pointermove', (event) => { if (event.pointerType !== 'touch') under(event); });
  matrix.addEventListener('click', (event) => {
    under(event);
    if (event.pointerType !== 'touch') window.page.find(data.list, words()); // a finger has not seen yet what it hits
  });
  matrix.addEventListener('keydown', (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step) show(at[0] + step[0], at[1] + step[1]);
    else if (event.key === 'Enter') window.page.find(data.list, words());
    else return;
    event.preventDefault();
  });
});
