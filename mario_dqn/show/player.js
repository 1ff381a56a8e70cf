// The page of the player and of live games. Python hands over what there is to show; here it is drawn.

// ---- Parts of the page ----

const SVG = ['svg', 'path', 'rect', 'circle', 'line', 'text', 'g', 'polyline'];

function make(tag, attributes = {}, children = []) {
  const element = SVG.includes(tag)
    ? document.createElementNS('http://www.w3.org/2000/svg', tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'text') element.textContent = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// A picture of the game, and over its rows below `crop` a map of what a decision depends on.
function makeScreen(picture, height) {
  const heat = make('canvas', { class: 'heat' });
  heat.hidden = true;
  const element = make('div', { class: 'screen' }, [picture, heat]);
  return {
    element,
    clear() {
      heat.hidden = true;
      element.dataset.heat = '';
    },
    // map: Int8Array [size * size]; orange where the value falls, blue where it rises
    overlay(map, size, crop, name) {
      heat.hidden = false;
      heat.width = heat.height = size;
      heat.style.top = `${(100 * crop) / height}%`;
      heat.style.height = `${(100 * (height - crop)) / height}%`;
      const context = heat.getContext('2d');
      const colours = context.createImageData(size, size);
      map.forEach((v, i) => colours.data.set(v >= 0 ? [255, 96, 0, 2 * v] : [0, 120, 255, -2 * v], 4 * i));
      context.putImageData(colours, 0, 0);
      element.dataset.heat = name;
    },
  };
}

// The frames of an observation, the newest at the right.
function makeStack(count, size, skip) {
  const canvases = [...Array(count)].map(() => make('canvas', { width: size, height: size }));
  const captions = canvases.map((_, i) => (i === count - 1 ? 'now' : `${(count - 1 - i) * skip} frames ago`));
  const figures = canvases.map((canvas, i) =>
    make('figure', {}, [canvas, make('figcaption', { text: captions[i] })]),
  );
  return {
    element: make('div', { class: 'stack' }, figures),
    // i: place in the stack; bitmap: holds the frame at (x, y)
    show(i, bitmap, x = 0, y = 0) {
      canvases[i].getContext('2d').drawImage(bitmap, x, y, size, size, 0, 0, size, size);
    },
  };
}

const BUTTONS = { right: 128, left: 64, down: 32, up: 16, start: 8, select: 4, B: 2, A: 1 };

function drawButtons() {
  return {
    up: make('rect', { x: 29, y: 16, width: 14, height: 16 }),
    down: make('rect', { x: 29, y: 46, width: 14, height: 16 }),
    left: make('rect', { x: 13, y: 32, width: 16, height: 14 }),
    right: make('rect', { x: 43, y: 32, width: 16, height: 14 }),
    select: make('rect', { x: 76, y: 44, width: 18, height: 7, rx: 3.5 }),
    start: make('rect', { x: 102, y: 44, width: 18, height: 7, rx: 3.5 }),
    B: make('circle', { cx: 145, cy: 46, r: 10 }),
    A: make('circle', { cx: 171, cy: 46, r: 10 }),
  };
}

// A joypad that shows which buttons are down; its label tells those who do not see it.
function makePad(label) {
  const buttons = drawButtons();
  const letters = [
    make('text', { x: 145, y: 71, text: 'B' }),
    make('text', { x: 171, y: 71, text: 'A' }),
    make('text', { x: 85, y: 38, class: 'small', text: 'select' }),
    make('text', { x: 111, y: 38, class: 'small', text: 'start' }),
  ];
  const body = make('rect', { x: 1, y: 1, width: 188, height: 76, rx: 8, class: 'case' });
  const hub = make('rect', { x: 29, y: 32, width: 14, height: 14, class: 'hub' });
  const parts = [body, hub, ...Object.values(buttons), ...letters];
  const pad = make('svg', { viewBox: '0 0 190 78', class: 'pad', role: 'img', 'aria-label': label }, parts);
  return {
    element: make('figure', { class: 'padbox' }, [pad, make('figcaption', { text: label })]),
    show(byte) {
      if (pad.dataset.byte === String(byte)) return;
      pad.dataset.byte = byte;
      const held = Object.keys(buttons).filter((name) => byte & BUTTONS[name]);
      for (const [name, part] of Object.entries(buttons)) part.classList.toggle('down', held.includes(name));
      pad.setAttribute('aria-label', `${label}: ${held.join(', ') || 'none'}`);
    },
  };
}

const minus = (text) => text.replace('-', '−');

// The value of each action, on one scale from `low` to `high`, and its distance to the best.
function makeBars(names) {
  const rows = names.map((name) => {
    const [bar, value, gap] = [make('i'), make('b'), make('small')];
    const element = make('div', { class: 'bar' }, [
      make('span', { text: name }),
      make('div', {}, [bar]),
      value,
      gap,
    ]);
    return { bar, value, gap, element };
  });
  const element = make(
    'div',
    { class: 'bars' },
    rows.map((row) => row.element),
  );
  return {
    element,
    show(q, chosen, low, high) {
      const best = Math.max(...q);
      rows.forEach((row, a) => {
        const share = (100 * (q[a] - low)) / (high - low || 1);
        row.element.classList.toggle('chosen', a === chosen);
        row.bar.style.width = `${Math.max(0, Math.min(100, share))}%`;
        row.value.textContent = q[a].toFixed(2);
        row.value.dataset.q = q[a];
        row.gap.textContent = q[a] === best ? 'best' : minus((q[a] - best).toFixed(2));
      });
    },
  };
}

function makeFacts(names) {
  const cells = names.map(() => make('dd'));
  const pairs = names.map((name, i) => make('div', {}, [make('dt', { text: name }), cells[i]]));
  return {
    element: make('dl', { class: 'facts' }, pairs),
    show(values) {
      values.forEach((value, i) => (cells[i].textContent = value));
    },
  };
}

// The value over the episode. best: at each decision; worse: decisions for another action than the best.
function makeCurve(best, worse, low, high, jump) {
  const count = best.length;
  const width = Math.max(count, 2);
  const y = (value) => 96 - (92 * (value - low)) / (high - low || 1);
  const points = [...best].map((value, t) => `${t},${y(value).toFixed(2)}`).join(' ');
  const cursor = make('line', { y1: 0, y2: 100, class: 'cursor' });
  const lines = [
    make('polyline', { points }),
    make('path', { class: 'ticks', d: worse.map((t) => `M${t},100V94`).join('') }),
    cursor,
  ];
  if (low < 0 && high > 0)
    lines.unshift(make('line', { x1: 0, x2: count, y1: y(0), y2: y(0), class: 'zero' }));
  const frame = { viewBox: `-0.5 0 ${width} 100`, preserveAspectRatio: 'none', 'aria-hidden': true };
  const drawing = make('svg', frame, lines);
  const go = (event) => {
    const box = drawing.getBoundingClientRect();
    const t = Math.floor(((event.clientX - box.left) / box.width) * width);
    jump(Math.max(0, Math.min(count - 1, t)));
  };
  drawing.addEventListener('pointerdown', (event) => {
    go(event);
    drawing.setPointerCapture(event.pointerId);
  });
  drawing.addEventListener('pointermove', (event) => {
    if (event.buttons) go(event);
  });
  const axis = [high, low].map((value) => make('span', { text: minus(value.toFixed(1)) }));
  const ticks = worse.length ? '; ticks: not the best action' : '';
  const caption = `value of the best action over the episode${ticks} (click to jump)`;
  const plot = make('div', { class: 'plot' }, [make('div', { class: 'axis' }, axis), drawing]);
  return {
    element: make('figure', { class: 'curve' }, [make('figcaption', { text: caption }), plot]),
    show(t) {
      cursor.setAttribute('x1', t);
      cursor.setAttribute('x2', t);
    },
  };
}

const SIGNS = {
  play: 'M4,2L14,8L4,14Z',
  pause: 'M3,2H7V14H3ZM9,2H13V14H9Z',
  back: 'M3,2H5V14H3ZM14,2V14L6,8Z',
  forth: 'M2,2L10,8L2,14ZM11,2H13V14H11Z',
  stop: 'M3,3H13V13H3Z',
};

function makeButton(sign, label, click) {
  const path = make('path', { d: SIGNS[sign] });
  const names = { type: 'button', title: label, 'aria-label': label, class: sign };
  const element = make('button', names, [make('svg', { viewBox: '0 0 16 16' }, [path])]);
  element.addEventListener('click', click);
  return {
    element,
    show(sign, label) {
      path.setAttribute('d', SIGNS[sign]);
      element.title = label;
      element.setAttribute('aria-label', label);
    },
  };
}

// options: [[value, text], …]
function makeChoice(label, options, chosen, change) {
  const entries = options.map(([value, text]) => make('option', { value, text }));
  const select = make('select', { 'aria-label': label }, entries);
  select.value = chosen;
  select.addEventListener('change', () => change(select.value));
  return { element: make('label', {}, [`${label} `, select]), select };
}

// role: group, or application if it takes the keys for a game
function makeRoot(title, role, kind, children) {
  const attributes = {
    class: `mario-player ${kind}`.trim(),
    tabindex: 0,
    role,
    'aria-label': title,
    'data-lm-suppress-shortcuts': true,
  };
  return make('div', attributes, [make('div', { class: 'title', text: title }), ...children]);
}

const makeNote = () => make('p', { class: 'note', 'aria-live': 'polite' });

function write(note, text) {
  if (note.textContent !== text) note.textContent = text; // what is written there is spoken by a screen reader
}

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

const toBitmap = (view) => createImageBitmap(new Blob([bytesOf(view)], { type: 'image/png' }));

// ---- A recorded episode ----

// A video whose pictures have numbers. onPicture is called with the number of each that comes into view.
class Film {
  constructor(data, { width, height, length, rate }, onPicture, onEnd) {
    this.last = length - 1;
    this.rate = rate;
    this.onPicture = onPicture;
    this.waiting = null; // the picture to show after the seek that is under way
    this.next = 0; // the call for the next picture
    this.url = URL.createObjectURL(new Blob([data], { type: 'video/mp4' }));
    this.element = make('video', { class: 'game', width, height, playsinline: '', preload: 'auto' });
    this.element.setAttribute('aria-label', 'the picture of the game');
    this.element.muted = true;
    this.element.addEventListener('seeked', () => this.arrive());
    this.element.addEventListener('ended', onEnd);
    this.element.src = this.url;
    this.ready = new Promise((resolve, reject) => {
      this.element.addEventListener('loadeddata', resolve, { once: true });
      this.element.addEventListener('error', () => reject(this.element.error), { once: true });
    });
  }

  // Show a picture. While one is being looked for, only the latest wish is kept.
  seek(number) {
    if (this.element.seeking) {
      this.waiting = number;
      return;
    }
    this.wanted = number;
    this.element.currentTime = (number + 0.5) / this.rate; // the middle of its time, far from its neighbours
  }

  arrive() {
    const next = this.waiting;
    this.waiting = null;
    if (next !== null && next !== this.wanted) this.seek(next);
    else if (this.element.paused) this.onPicture(this.wanted);
  }

  async play(speed) {
    this.element.playbackRate = speed;
    await this.element.play();
    this.follow();
  }

  follow() {
    this.element.cancelVideoFrameCallback(this.next);
    this.next = this.element.requestVideoFrameCallback((_, { mediaTime }) => {
      if (this.element.paused) return;
      if (!this.element.seeking) this.onPicture(Math.min(this.last, Math.round(mediaTime * this.rate)));
      this.follow();
    });
  }

  pause() {
    this.element.pause();
    this.element.cancelVideoFrameCallback(this.next);
  }

  close() {
    this.pause();
    this.element.removeAttribute('src');
    this.element.load(); // lets the decoder go
    URL.revokeObjectURL(this.url);
  }
}

class Player {
  constructor(model, sight) {
    this.model = model;
    this.about = model.get('about');
    this.sight = sight; // the frames that the network saw, tile by tile
    this.values = new Float32Array(bytesOf(model.get('values')).slice().buffer);
    this.picture = 0; // the number of the one that is shown, or is to be
    this.playing = false;
    this.told = -1; // the decision that the kernel knows of
    this.asked = ''; // the map that the kernel is asked for
    this.maps = new Map();
    this.refusals = new Map(); // why there is no map
    this.measureValues();
    this.makeParts();
    this.makePage();
    this.listen();
  }

  // What the bars and the curve show, and the scale they share.
  measureValues() {
    const { chosen, actions, count } = this.about;
    this.hasValues = this.values.length > 0;
    if (!this.hasValues) return;
    this.row = (t) => this.values.subarray(t * actions.length, (t + 1) * actions.length);
    this.best = [...Array(count).keys()].map((t) => Math.max(...this.row(t)));
    this.worse = chosen.map((a, t) => (this.row(t)[a] < this.best[t] ? t : -1)).filter((t) => t >= 0);
    this.low = this.values.reduce((a, b) => Math.min(a, b), 0);
    this.high = this.best.reduce((a, b) => Math.max(a, b), this.low + 1e-6);
  }

  makeParts() {
    const { about, model } = this;
    const onEnd = () => this.finish();
    this.film = new Film(bytesOf(model.get('film')), about.film, (number) => this.arrive(number), onEnd);
    this.last = this.film.last;
    this.screen = makeScreen(this.film.element, about.film.height);
    this.pad = makePad('buttons pressed');
    this.frames = makeStack(about.stack, about.size, about.skip);
    this.facts = makeFacts(['decision', 'value', 'reward', 'x', 'time left', 'ε']);
    this.note = makeNote();
    if (!this.hasValues) return;
    this.bars = makeBars(about.actions);
    const jump = (t) => this.seek(t * about.skip);
    this.curve = makeCurve(this.best, this.worse, this.low, this.high, jump);
  }

  makeControls() {
    const { about, model } = this;
    const set = (name, value) => {
      model.set(name, value);
      model.save_changes();
    };
    const range = { type: 'range', min: 0, max: this.last, step: 1, value: 0, 'aria-label': 'picture' };
    const speeds = [0.25, 0.5, 1, 2, 4, 8].map((v) => [v, `${v}×`]);
    const methods = Object.entries(about.methods).map(([name, [text]]) => [name, text]);
    const kinds = [['none', 'none'], ...methods];
    this.slider = make('input', range);
    this.button = makeButton('play', 'play', () => this.run(!this.playing));
    this.speed = makeChoice('speed', speeds, model.get('speed'), (v) => set('speed', Number(v)));
    this.choice = makeChoice('saliency', kinds, model.get('saliency'), (v) => set('saliency', v));
    const back = makeButton('back', 'one decision back', () => this.step(-1));
    const forth = makeButton('forth', 'one decision forth', () => this.step(1));
    const parts = [back.element, this.button.element, forth.element, this.slider, this.speed.element];
    return make('div', { class: 'controls' }, about.asks ? [...parts, this.choice.element] : parts);
  }

  makePage() {
    const bars = this.bars ? [this.bars.element] : [];
    const side = [this.facts.element, this.pad.element, ...bars, this.frames.element];
    const stage = make('div', { class: 'stage' }, [
      make('div', { class: 'left' }, [this.screen.element, this.makeControls()]),
      make('div', { class: 'side' }, side),
    ]);
    const curve = this.curve ? [this.curve.element] : [];
    this.root = makeRoot(this.about.title, 'group', '', [stage, ...curve, this.note]);
  }

  decisionAt(picture) {
    return Math.min(Math.floor(picture / this.about.skip), this.about.count - 1);
  }

  get decision() {
    return this.decisionAt(this.picture);
  }

  // -- what it draws

  // A picture has come into view.
  arrive(number) {
    if (this.playing) {
      this.picture = number;
      this.draw();
    }
    this.root.dataset.frame = number;
  }

  // All that stands beside a picture follows from its number.
  draw() {
    const { about, picture, decision: t } = this;
    const seen = picture === this.last ? about.count : t; // after the last decision there is one more picture
    this.pad.show(picture < about.tape.length ? about.tape[picture] : 0);
    this.drawFrames(t);
    const value = this.hasValues ? this.best[t].toFixed(2) : '–';
    const place = [about.positions[seen], about.times[seen]];
    this.facts.show([`${t + 1} of ${about.count}`, value, about.rewards[t], ...place, about.epsilon]);
    if (this.hasValues) {
      this.bars.show(this.row(t), about.chosen[t], this.low, this.high);
      this.curve.show(t);
    }
    const text = `picture ${picture} of ${this.last}, decision ${t + 1} of ${about.count}`;
    this.slider.value = picture;
    this.slider.setAttribute('aria-valuetext', text);
    this.root.dataset.decision = t;
    this.drawMap();
  }

  // Before the start there is nothing to see, so there the first frame fills the stack.
  drawFrames(t) {
    const { stack, size, columns } = this.about;
    for (let i = 0; i < stack; i++) {
      const k = Math.max(0, t - stack + 1 + i);
      this.frames.show(i, this.sight, (k % columns) * size, Math.floor(k / columns) * size);
    }
  }

  // A map is asked for when the film rests at a decision that has none, one at a time.
  drawMap() {
    const { about, model, maps, decision } = this;
    const method = model.get('saliency');
    const key = `${method} ${decision}`;
    if (!about.asks || method === 'none') {
      write(this.note, '');
      this.screen.clear();
      return;
    }
    const refusal = this.refusals.get(key);
    const hint = this.playing ? ' The map appears when the film is stopped.' : '';
    write(this.note, refusal ?? (about.methods[method]?.[1] ?? '') + hint);
    if (!this.playing && maps.has(key)) this.screen.overlay(maps.get(key), about.size, about.crop, key);
    else this.screen.clear();
    if (this.playing || maps.has(key) || refusal || this.asked) return;
    this.asked = key;
    this.screen.element.classList.add('busy');
    model.send({ kind: 'saliency', decision, method });
  }

  // -- how it moves

  // from: 'group' if another player of the group has moved, which must not hear of it again
  seek(picture, from) {
    this.picture = Math.max(0, Math.min(this.last, picture));
    this.film.seek(this.picture);
    this.draw();
    this.tell();
    this.callOthers(from);
  }

  step(by) {
    this.run(false);
    const { skip, count } = this.about;
    const t = this.decision;
    if (by > 0 && t === count - 1) return this.seek(this.last); // after the last decision there is one more picture
    const isInside = by < 0 && this.picture > t * skip; // back to the picture of this decision first
    this.seek((isInside ? t : Math.max(0, Math.min(count - 1, t + by))) * skip);
  }

  run(on, from) {
    if (on === this.playing) return;
    this.playing = on;
    this.button.show(on ? 'pause' : 'play', on ? 'stop' : 'play');
    this.root.dataset.playing = on;
    if (on) this.start();
    else this.film.pause();
    if (!on) this.seek(this.picture, from);
    else this.callOthers(from);
  }

  start() {
    if (this.picture >= this.last) this.picture = 0;
    this.film.seek(this.picture);
    this.film.play(this.model.get('speed')).catch((error) => {
      if (error.name === 'AbortError') return; // it was stopped at once
      this.run(false);
      write(this.note, `The film cannot be played: ${error.message}`);
    });
    this.draw();
  }

  finish() {
    if (!this.playing) return;
    this.picture = this.last;
    this.run(false, this.model.get('group') ? 'group' : '');
  }

  // -- whom it tells, and what it hears

  tell() {
    if (this.playing || this.decision === this.told) return;
    this.told = this.decision;
    this.model.set('decision', this.told);
    this.model.save_changes();
  }

  callOthers(from) {
    const group = this.model.get('group');
    if (!group || from === 'group') return;
    const detail = { group, root: this.root, picture: this.picture, playing: this.playing };
    document.dispatchEvent(new CustomEvent('mario-player', { detail }));
  }

  hearOthers({ detail }) {
    if (detail.group !== this.model.get('group') || detail.root === this.root) return;
    this.picture = Math.min(detail.picture, this.last);
    const on = detail.playing && this.picture < this.last;
    if (on !== this.playing) this.run(on, 'group');
    else this.seek(this.picture, 'group');
  }

  // The answer to a question for a map.
  hearKernel(message, buffers) {
    if (message.kind !== 'saliency') return;
    const key = `${message.method} ${message.decision}`;
    if (message.error) this.refusals.set(key, message.error);
    else this.maps.set(key, new Int8Array(bytesOf(buffers[0]).slice().buffer));
    this.asked = '';
    this.screen.element.classList.remove('busy');
    this.drawMap();
  }

  // The kernel has set where the film is to rest.
  jump() {
    if (this.model.get('decision') === this.told) return;
    this.told = this.model.get('decision');
    this.picture = this.told * this.about.skip;
    this.run(false);
    this.seek(this.told * this.about.skip);
  }

  changeChoices() {
    this.choice.select.value = this.model.get('saliency');
    this.speed.select.value = this.model.get('speed');
    this.film.element.playbackRate = this.model.get('speed');
    this.drawMap();
  }

  press(event) {
    if (['SELECT', 'INPUT', 'BUTTON'].includes(event.target.tagName) && event.target !== this.root) return;
    const keys = {
      ' ': () => this.run(!this.playing),
      ArrowLeft: () => this.step(-1),
      ArrowRight: () => this.step(1),
    };
    if (!keys[event.key]) return;
    keys[event.key]();
    event.preventDefault();
    event.stopPropagation();
  }

  listen() {
    this.root.addEventListener('keydown', (event) => this.press(event));
    this.slider.addEventListener('input', () => {
      const picture = Number(this.slider.value);
      this.run(false);
      this.seek(picture);
    });
    const others = (event) => this.hearOthers(event);
    const answers = (message, buffers) => this.hearKernel(message, buffers);
    const jump = () => this.jump();
    const choices = () => this.changeChoices();
    document.addEventListener('mario-player', others);
    this.model.on('msg:custom', answers);
    this.model.on('change:decision', jump);
    this.model.on('change:saliency change:speed', choices);
    this.close = () => {
      document.removeEventListener('mario-player', others);
      this.model.off('msg:custom', answers);
      this.model.off('change:decision', jump);
      this.model.off('change:saliency change:speed', choices);
      this.film.close();
      this.sight.close();
    };
  }

  async show(el) {
    el.append(this.root);
    this.draw();
    try {
      await this.film.ready;
      this.seek(this.model.get('decision') * this.about.skip, 'group');
    } catch (error) {
      write(this.note, `This browser cannot show the film: ${error?.message || 'it reads no H.264'}.`);
    }
  }
}

async function renderPlayer({ model, el }) {
  const player = new Player(model, await toBitmap(model.get('sight')));
  player.show(el);
  return () => player.close();
}

// ---- A live game ----

const KEYS = {
  ArrowRight: 128,
  ArrowLeft: 64,
  ArrowDown: 32,
  ArrowUp: 16,
  Enter: 8,
  z: 2,
  y: 2,
  s: 2,
  Shift: 2,
  x: 1,
  a: 1,
  ' ': 1,
};

// change: called with the byte of the buttons, and whether root has the keyboard. The keys are kept from JupyterLab.
function listenToKeys(root, screen, change) {
  const held = new Set();
  let byte = 0;
  const press = (down) => (event) => {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!KEYS[key] || event.target !== root) return;
    event.preventDefault();
    event.stopPropagation();
    if (down) held.add(key);
    else held.delete(key);
    const now = [...held].reduce((all, key) => all | KEYS[key], 0);
    if (now === byte) return;
    byte = now;
    change(byte, true);
  };
  screen.addEventListener('pointerdown', (event) => {
    root.focus({ preventScroll: true });
    event.preventDefault();
  });
  root.addEventListener('keydown', press(true));
  root.addEventListener('keyup', press(false));
  root.addEventListener('focus', () => change(byte, true));
  root.addEventListener('blur', () => {
    held.clear();
    byte = 0;
    change(0, false);
  });
}

const WAITS = 'The game waits.';
const NEXT = 'The next one begins.';

class LiveGame {
  constructor(model) {
    this.model = model;
    this.about = model.get('about');
    this.queue = []; // pictures that wait for their time
    this.order = Promise.resolve(); // packets are read one after the other
    this.news = null; // numbers that are not drawn yet
    this.hasNewSight = false; // whether the frames are not drawn yet
    this.byte = 0; // the buttons that are down
    this.told = 0; // when the kernel last heard of them
    this.due = 0; // pictures that may be shown now; 60 more each second
    this.low = 0;
    this.high = 1e-6;
    this.value = null;
    this.shown = 0;
    this.times = []; // when the pictures of the last second were shown
    this.closed = false;
    this.beginGame();
    this.makeParts();
    this.makePage();
    this.listen();
  }

  beginGame() {
    this.seen?.forEach((sight) => sight.close());
    this.seen = []; // bitmaps of the frames of the observation
    this.decision = 0;
  }

  makeParts() {
    const { about } = this;
    const names = ['decision', 'value', 'score', 'x', 'time left', 'pictures a second'];
    const { width, height } = about;
    const label = { role: 'img', 'aria-label': 'the picture of the game' };
    this.canvas = make('canvas', { width, height, class: 'game', ...label });
    this.context = this.canvas.getContext('2d');
    this.screen = makeScreen(this.canvas, height);
    this.frames = makeStack(about.stack, about.size, about.skip);
    this.bars = makeBars(about.actions);
    this.pressed = makePad(about.human ? 'you press' : 'buttons pressed');
    this.advice = makePad('the agent would press');
    this.facts = makeFacts(names);
    this.status = makeNote();
  }

  makePage() {
    const { about, model } = this;
    this.stop = makeButton('stop', 'stop', () => {
      model.set('running', false);
      model.save_changes();
    });
    const keys = 'Click the picture to play. ← → ↓ move, X jumps, Z or Y runs, Enter pauses.';
    const hint = make('span', { class: 'hint', text: about.human ? keys : '' });
    const advice = about.human && about.agent ? [this.advice.element] : [];
    const pads = make('div', { class: 'pads' }, [this.pressed.element, ...advice]);
    const side = [this.facts.element, pads, ...(about.agent ? [this.bars.element, this.frames.element] : [])];
    const stage = make('div', { class: 'stage' }, [
      make('div', { class: 'left' }, [
        this.screen.element,
        make('div', { class: 'controls' }, [this.stop.element, hint]),
      ]),
      make('div', { class: 'side' }, side),
    ]);
    const role = about.human ? 'application' : 'group';
    this.root = makeRoot(about.title, role, 'live', [stage, this.status]);
    this.root.dataset.running = true;
  }

  // -- what comes in

  hear(content, buffers) {
    if (content.kind === 'failed') write(this.status, content.error);
    if (content.kind !== 'moment') return;
    const say = (error) => write(this.status, `A packet could not be shown: ${error}`);
    this.order = this.order.then(() => this.take(content, buffers)).catch(say);
  }

  // A moment is a strip of pictures, one below the other, and perhaps a frame that the network saw.
  async take(content, [pictures, frame]) {
    const strip = await toBitmap(pictures);
    const sight = frame.byteLength ? await toBitmap(frame) : null;
    content.pressed.forEach((byte, i) => {
      const isLast = i === content.pressed.length - 1;
      const over = isLast ? content.over : '';
      this.queue.push({ strip, i, byte, sight: i ? null : sight, facts: i ? null : content, over, isLast });
    });
    while (this.queue.length > 90) this.show(this.queue.shift(), false); // the page was hidden
  }

  // -- what is shown

  show(picture, isVisible) {
    const { sight, facts } = picture;
    if (sight) {
      while (this.seen.length < this.about.stack) this.seen.push(sight); // the first frame fills the stack
      this.seen.push(sight);
      const gone = this.seen.shift();
      if (!this.seen.includes(gone)) gone.close(); // the first frame is in it several times
      this.hasNewSight = true;
      this.decision++;
    }
    if (this.decision === 30 && this.model.get('running')) write(this.status, '');
    if (facts?.q) {
      this.value = Math.max(...facts.q);
      this.low = Math.min(this.low, ...facts.q);
      this.high = Math.max(this.high, this.value);
    }
    this.news = facts ?? this.news; // of a picture that is not drawn, too
    if (isVisible) this.draw(picture);
    if (picture.isLast) picture.strip.close();
    if (!picture.over) return;
    const next = this.about.human && this.model.get('running') ? ` ${NEXT}` : '';
    write(this.status, `The game is over: ${picture.over}.${next}`);
    this.beginGame();
  }

  draw({ strip, i, byte }) {
    const { width, height, bytes } = this.about;
    const { news } = this;
    const now = performance.now();
    this.context.drawImage(strip, 0, i * height, width, height, 0, 0, width, height);
    this.pressed.show(byte);
    this.times = [...this.times, now].filter((time) => time > now - 1000);
    if (this.hasNewSight) this.seen.forEach((frame, k) => this.frames.show(k, frame));
    if (news?.q) {
      this.bars.show(news.q, news.action, this.low, this.high);
      this.advice.show(bytes[news.action]);
    }
    if (news) this.drawFacts(news);
    this.hasNewSight = false;
    this.news = null;
    this.shown++;
    Object.assign(this.root.dataset, { pictures: this.shown, rate: this.times.length, byte });
  }

  drawFacts({ score, x, time }) {
    const value = this.value === null ? '–' : this.value.toFixed(2);
    this.facts.show([this.decision, value, Math.round(score), x, time, this.times.length]);
  }

  tick(now) {
    if (this.closed) return;
    this.due = Math.min(this.due + Math.max(0, now - this.before) * 0.06, 8);
    this.before = now;
    if (this.queue.length > 20) this.due = Math.max(this.due, 3); // catch up, three at a time
    while (this.due >= 1 && this.queue.length) {
      this.due--;
      this.show(this.queue.shift(), this.due < 1 || !this.queue.length);
    }
    if (!this.queue.length) this.due = Math.min(this.due, 1);
    if (this.root.dataset.here === 'true' && now - this.told > 1000) this.keys(this.byte, true); // still there
    requestAnimationFrame((time) => this.tick(time));
  }

  // -- the person

  keys(byte, here) {
    if (!this.model.get('running')) return;
    this.byte = byte;
    this.told = performance.now();
    if (here !== (this.root.dataset.here === 'true')) write(this.status, here ? '' : WAITS);
    this.root.dataset.here = here;
    this.model.send({ kind: 'keys', byte, here });
  }

  changeRunning() {
    if (this.model.get('running')) return;
    this.stop.element.disabled = true;
    this.root.dataset.running = false;
    const said = this.status.textContent;
    if (!said || said === WAITS || said.endsWith(NEXT)) write(this.status, 'Stopped.');
  }

  listen() {
    const { model, about } = this;
    const hear = (content, buffers) => this.hear(content, buffers);
    const change = () => this.changeRunning();
    model.on('msg:custom', hear);
    model.on('change:running', change);
    if (about.human) listenToKeys(this.root, this.canvas, (byte, here) => this.keys(byte, here));
    this.close = () => {
      this.closed = true;
      this.queue.forEach(({ strip, sight }) => [strip, sight].forEach((bitmap) => bitmap?.close()));
      this.seen.forEach((sight) => sight.close());
      model.off('msg:custom', hear);
      model.off('change:running', change);
      if (about.human && model.get('running')) model.send({ kind: 'keys', byte: 0, here: false }); // nobody plays any more
    };
  }

  start(el) {
    el.append(this.root);
    this.changeRunning();
    this.before = performance.now();
    requestAnimationFrame((time) => this.tick(time));
    if (this.about.human) this.model.send({ kind: 'keys', byte: 0, here: false }); // nor had the page before it
    this.model.send({ kind: 'ready' });
  }
}

function renderLive({ model, el }) {
  const game = new LiveGame(model);
  game.start(el);
  return () => game.close();
}

export default {
  render(context) {
    return context.model.get('about').live ? renderLive(context) : renderPlayer(context);
  },
};
