'use strict';
// Sorting and filtering of the lists of a page: tables by their heads, cards by a choice of orders.
(() => {
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

  function make(tag, attributes = {}, text = null) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== null) element.textContent = text;
    return element;
  }

  // Items: what is shown of each (`texts`), what it is sorted by (`values`), and its element, made when it is needed.
  function rowsOf(body) {
    return [...body.rows].map((row) => ({
      texts: [...row.cells].map((cell) => cell.textContent),
      values: [...row.cells].map((cell) => {
        if (!cell.hasAttribute('data-value')) return cell.textContent;
        return cell.dataset.value === '' ? null : Number(cell.dataset.value);
      }),
      element: row,
    }));
  }

  function cardsOf(home) {
    return [...home.children].map((card) => ({
      texts: JSON.parse(card.dataset.words),
      values: JSON.parse(card.dataset.values),
      element: card,
    }));
  }

  function plain(html) {
    return new DOMParser().parseFromString(html, 'text/html').body.textContent;
  }

  class Packed {
    // A row of the JSON below a table, whose cells are read one by one.
    constructor(data, row, narrow) {
      Object.assign(this, { data, row, narrow, made: null, read: null });
    }

    shown(column) {
      if (!column.texts) return column.values[this.row] === null ? '\u2013' : String(column.values[this.row]);
      return column.pool ? column.pool[column.texts[this.row]] : column.texts[this.row];
    }

    get texts() {
      if (!this.read) {
        this.read = this.data.columns.map((column) => (column.html ? plain(this.shown(column)) : this.shown(column)));
      }
      return this.read;
    }

    get values() {
      return this.data.columns.map((column, place) => (column.values ? column.values[this.row] : this.texts[place]));
    }

    get element() {
      if (!this.made) {
        this.made = make('tr');
        this.data.columns.forEach((column, place) => {
          const cell = make('td');
          if (column.values) {
            cell.className = 'n';
            cell.dataset.value = column.values[this.row] ?? '';
          }
          if (this.narrow.includes(String(place))) cell.classList.add('narrow');
          if (column.html) cell.innerHTML = this.shown(column);
          else cell.textContent = this.shown(column);
          this.made.append(cell);
        });
      }
      return this.made;
    }
  }

  // Words as they are typed: each has to stand somewhere in an item; those in quotes have to be whole cells, several of
  // them from left to right, and 2="word" is the second one. A quote in a cell is written twice: "say ""hi""".
  function asked(words) {
    const whole = [...words.matchAll(/(?:(\d+)=)?"((?:[^"]|"")*)"/g)].map(
      (match) => [match[2].replace(/""/g, '"').toLowerCase(), Number(match[1])],
    );
    const parts = words.replace(/(?:\d+=)?"(?:[^"]|"")*"?/g, ' ').toLowerCase().split(/\s+/).filter(Boolean);
    return (item) => {
      const texts = item.texts.map((text) => text.toLowerCase());
      let place = 0;
      for (const [cell, column] of whole) {
        place = column ? column * (texts[column - 1] === cell) : texts.indexOf(cell, place) + 1;
        if (place === 0) return false;
      }
      return parts.every((part) => texts.some((text) => text.includes(part)));
    };
  }

  function compare(place, down) {
    return (first, second) => {
      const [a, b] = [first.values[place], second.values[place]];
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === 'number' && typeof b === 'number' ? a - b : collator.compare(String(a), String(b));
      return down ? -order : order;
    };
  }

  class Listing {
    constructor(box) {
      this.box = box;
      this.home = box.querySelector('tbody, .cards');
      this.step = Number(box.dataset.step) || Infinity;
      this.limit = this.step;
      this.order = null;
      this.down = false;
      this.words = box.querySelector('input[type="search"]');
      this.count = box.querySelector('.count');
      this.more = box.querySelector('.more');
      const tools = box.querySelector('.tools');
      if (tools) tools.hidden = false;
      if (this.words) this.words.addEventListener('input', () => this.ask(this.words.value));
      const order = box.querySelector('select.order');
      if (order) {
        order.addEventListener('change', () => {
          this.order = order.value === '' ? null : Number(order.value);
          this.down = true;
          this.show();
        });
      }
      this.heads = [...box.querySelectorAll('thead th')];
      this.heads.forEach((head, place) => {
        head.classList.add('sorts');
        head.querySelector('button').addEventListener('click', () => this.sort(place));
      });
      if (this.more) this.show(false);
    }

    get items() {
      if (!this.all) {
        const data = this.box.querySelector('script[type="application/json"]');
        const narrow = (this.box.dataset.narrow || '').split(' ');
        if (data) {
          const read = JSON.parse(data.textContent);
          this.all = Array.from({ length: read.rows }, (_, row) => new Packed(read, row, narrow));
        } else this.all = this.home.matches('tbody') ? rowsOf(this.home) : cardsOf(this.home);
        this.all.forEach((item, place) => { item.place = place; });
      }
      return this.all;
    }

    // Up, down, and as it was.
    sort(place) {
      if (this.order !== place) [this.order, this.down] = [place, false];
      else if (!this.down) this.down = true;
      else this.order = null;
      this.heads.forEach((head) => head.removeAttribute('aria-sort'));
      if (this.order !== null) this.heads[place].setAttribute('aria-sort', this.down ? 'descending' : 'ascending');
      this.show();
    }

    ask(words) {
      if (this.words && this.words.value !== words) this.words.value = words;
      this.limit = this.step;
      this.show();
    }

    show(anew = true) {
      let chosen = null;
      if (anew) {
        const words = this.words ? this.words.value : '';
        chosen = words.trim() ? this.items.filter(asked(words)) : [...this.items];
        if (this.order !== null) chosen.sort(compare(this.order, this.down));
        this.home.replaceChildren(...chosen.slice(0, this.limit).map((item) => item.element));
        if (this.count) this.count.value = words.trim() ? `${chosen.length} of ${this.items.length}` : '';
      }
      if (this.more) this.offer(chosen);
    }

    offer(chosen) {
      const total = chosen ? chosen.length : Infinity;
      if (total <= this.limit) {
        this.more.replaceChildren();
        return;
      }
      const next = make('button', { type: 'button', class: 'next' }, `Show ${this.step} more`);
      next.addEventListener('click', () => {
        this.limit += this.step;
        this.show();
      });
      const said = chosen ? `The first ${this.limit} of ${total} rows. ` : `${this.more.textContent} `;
      this.more.replaceChildren(said, next);
    }
  }

  const lists = new Map();
  document.querySelectorAll('.listing').forEach((box) => lists.set(box, new Listing(box)));

  // Show what a list has of some words: for links (`data-find`, `data-words`) and for pictures that are clicked.
  function find(name, words) {
    const box = document.getElementById(name);
    if (!lists.has(box)) return;
    lists.get(box).ask(words);
    box.scrollIntoView({ block: 'start' });
  }

  document.addEventListener('click', (event) => {
    const link = event.target.closest('[data-find]');
    if (!link) return;
    event.preventDefault();
    find(link.dataset.find, link.dataset.words || '');
  });
  window.page = { find };
})();
