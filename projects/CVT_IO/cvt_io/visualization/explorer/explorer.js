// The page: what is selected, and what follows from it.

const element = (id) => document.getElementById(id);
const percent = (share) => `${share >= 0.0995 ? (100 * share).toFixed(0) : Number((100 * share).toPrecision(2))} %`;

function add(parent, tag, properties = {}) {
  return parent.appendChild(Object.assign(document.createElement(tag), properties));
}

const explorer = {
  data: JSON.parse(element('data').textContent),
  maps: null, // of the shown frame
  views: [], // {canvas, kind, size, number}: the number-th grid of things of a kind
  selected: null, // {kind, index}
  pointed: null, // the same, while the pointer is there
  shown: null, // what is drawn: weights of patches, latents and cells

  start() {
    const { data } = this;
    element('model').textContent = data.model;
    data.frames.forEach((frame, i) => {
      for (const key of ['probability', 'truth']) if (frame.bev[key]) frame.bev[key] = bytesOf(frame.bev[key]);
      add(element('frame'), 'option', { value: i, textContent: `${frame.scene} · ${frame.short_token}` });
    });
    element('frame').addEventListener('change', () => this.open(data.frames[element('frame').value]));
    for (const id of ['scale', 'head', 'decode-head']) element(id).addEventListener('change', () => this.choose());
    element('controls').addEventListener('submit', (event) => event.preventDefault());
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.select(null);
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    new ResizeObserver(() => this.draw()).observe(document.querySelector('main'));
    addEventListener('hashchange', () => this.follow(location.hash));
    this.open(data.frames[0]);
    this.follow(location.hash);
  },

  /** A link to a selection ends in #cell=103, #latent=7 or #patch=40. */
  follow(hash) {
    const [, kind, index] = /^#(cell|latent|patch)=(\d{1,9})$/.exec(hash) ?? [];
    const item = { kind, index: Number(index) };
    if (this.views.some((view) => this.within(view, item) !== null)) this.select(item);
  },

  open(frame) {
    this.maps = new Maps(frame);
    this.views = [];
    this.selected = this.pointed = null;
    element('source').textContent = `${this.data.checkpoint} · ${frame.scene} · ${frame.token}`;
    const extent = frame.bev.metres.join(' × ');
    element('bev-note').textContent = `probability of ${frame.bev.group}, ${extent} m, ahead is up`;
    element('limits').hidden = !frame.decode;
    for (const id of ['latents-figure', 'decode-label']) element(id).hidden = !frame.decode;
    element('head-label').textContent = frame.decode ? 'Encode head' : 'Head';
    const merged = (side) => (side > 1 ? `, ${side} × ${side} merged` : '');
    const sides = frame.scales.map((scale) => scale.feature_size.join(' × ') + merged(scale.merged));
    this.fillSelect('scale', frame.scales.length > 1 ? 'all, averaged' : null, sides);
    const heads = Array.from({ length: frame.heads }, (_, i) => `${i + 1} of ${frame.heads}`);
    for (const id of ['head', 'decode-head']) this.fillSelect(id, 'all, averaged', heads);
    this.addCameras(frame);
    if (frame.decode) this.addLatents(frame);
    this.addView(element('bev'), 'cell', frame.bev.cells, 0, 'BEV cells');
    this.addLegend(frame);
    this.choose();
  },

  fillSelect(id, all, names) {
    element(id).replaceChildren();
    if (all) add(element(id), 'option', { value: '', textContent: all });
    names.forEach((name, i) => add(element(id), 'option', { value: i, textContent: name }));
  },

  addCameras(frame) {
    element('cameras').replaceChildren();
    element('shares').replaceChildren();
    frame.cameras.forEach((camera, i) => {
      const figure = add(element('cameras'), 'figure', { className: 'camera' });
      add(figure, 'img', { src: camera.picture, alt: '', onload: () => this.draw() });
      const canvas = add(figure, 'canvas', { tabIndex: 0 });
      const caption = add(figure, 'figcaption', { textContent: `${camera.name} ` });
      this.addView(canvas, 'patch', null, i, `Image patches of ${camera.name}`).share = add(caption, 'b');
      add(element('shares'), 'dt', { textContent: camera.name });
      add(add(element('shares'), 'div', { className: 'bar' }), 'i');
      add(element('shares'), 'dd');
    });
  },

  addLatents(frame) {
    const holder = element('latents');
    holder.replaceChildren();
    holder.classList.toggle('many', frame.grids > 1);
    const many = frame.grids > 1;
    element('latents-note').textContent = (many ? `${frame.grids} grids of ` : '') + frame.reader_size.join(' × ');
    for (let i = 0; i < frame.grids; i++) {
      const figure = add(holder, 'div');
      if (many) add(figure, 'span', { textContent: frame.cameras[i].name });
      const canvas = add(figure, 'canvas', { tabIndex: 0 });
      const label = many ? `Latents of ${frame.cameras[i].name}` : 'Latents';
      this.addView(canvas, 'latent', frame.reader_size, i, label);
    }
  },

  addLegend(frame) {
    element('legend').replaceChildren();
    const truth = [['truth', 'ground truth'], ['left-out', 'left out'], ['road', 'road']];
    for (const [name, text] of [['heat', 'attention'], ['predicted', 'predicted'], ...(frame.bev.truth ? truth : [])]) {
      const entry = add(element('legend'), 'li');
      add(entry, 'i', { className: name });
      entry.append(text);
    }
  },

  addView(canvas, kind, size, number, label) {
    const view = { canvas, kind, size, number };
    canvas.setAttribute('role', 'application');
    canvas.setAttribute('aria-label', `${label}; arrow keys select one`);
    canvas.onpointermove = (event) => event.pointerType !== 'touch' && this.point(this.hit(view, event));
    canvas.onpointerleave = () => this.point(null);
    canvas.onclick = (event) => this.select(this.hit(view, event));
    canvas.onkeydown = (event) => this.move(view, event);
    this.views.push(view);
    return view;
  },

  choose() {
    const [scale, head, decodeHead] = ['scale', 'head', 'decode-head'].map((id) => {
      const { value } = element(id);
      return value === '' ? null : Number(value);
    });
    const before = this.maps.shown;
    this.maps.choose(scale, head, decodeHead);
    for (const view of this.views) if (view.kind === 'patch') view.size = this.maps.shown.size;
    // Patches of another scale are others.
    if (before !== this.maps.shown && this.selected?.kind === 'patch') this.selected = null;
    this.draw(true);
  },

  /** Place of a pointer → what lies there. */
  hit(view, event) {
    const place = event.target.getBoundingClientRect();
    const at = [(event.clientY - place.top) / place.height, (event.clientX - place.left) / place.width];
    const count = (share, axis) => this.edgesOf(view, axis).slice(1, -1).filter((edge) => edge <= share).length;
    const [row, column] = at.map(count);
    return this.item(view, row, column);
  },

  edgesOf(view, axis) {
    if (view.kind === 'patch') return patchEdges(this.maps.shown, axis);
    return edges(view.size[axis], view.kind === 'cell' && !this.maps.frame.bev.tiled);
  },

  item(view, row, column) {
    const [rows, columns] = view.size;
    return { kind: view.kind, index: (view.number * rows + row) * columns + column };
  },

  /** Index within a view, or null if the item is elsewhere. */
  within(view, item) {
    const count = view.size[0] * view.size[1];
    const first = view.number * count;
    return item?.kind === view.kind && item.index >= first && item.index < first + count ? item.index - first : null;
  },

  move(view, event) {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [rows, columns] = view.size;
    const at = this.within(view, this.selected);
    const moved = [Math.floor(at / columns) + step[0], (at % columns) + step[1]];
    const place = at === null ? [rows >> 1, columns >> 1] : moved;
    const [row, column] = place.map((value, axis) => Math.min(Math.max(value, 0), view.size[axis] - 1));
    this.select(this.item(view, row, column));
  },

  point(item) {
    if (item?.kind === this.pointed?.kind && item?.index === this.pointed?.index) return;
    this.pointed = item;
    this.schedule();
  },

  select(item) {
    this.selected = item;
    this.pointed = null;
    this.draw(true);
  },

  schedule() {
    this.waiting ??= requestAnimationFrame(() => this.draw());
  },

  draw(announce = false) {
    if (this.waiting) cancelAnimationFrame(this.waiting);
    this.waiting = null;
    const { maps } = this;
    const item = this.pointed ?? this.selected;
    this.shown = item ? maps.trace(item) : { patches: null, latents: null, cells: null };
    const most = {};
    for (const [key, values] of Object.entries(this.shown))
      most[key] = values ? values.reduce((a, b) => Math.max(a, b), 0) : 0;
    for (const view of this.views) {
      const key = { patch: 'patches', latent: 'latents', cell: 'cells' }[view.kind];
      const count = view.size[0] * view.size[1];
      const values = this.shown[key]?.subarray(view.number * count, (view.number + 1) * count) ?? null;
      const selected = this.within(view, item);
      if (view.kind === 'patch') {
        drawCamera(view.canvas, maps.shown, values, most[key], selected);
        if (item?.kind === 'cell' && maps.samples) drawPoints(view.canvas, maps.pointsOf(item.index, view.number));
      } else if (view.kind === 'latent') drawLatents(view.canvas, view.size, values, most[key], selected);
      else drawBev(view.canvas, maps.frame.bev, values, most[key], selected);
      if (view.share) this.showShare(view, values);
    }
    this.describe(item, most, announce);
  },

  showShare(view, values) {
    const share = values ? values.reduce((a, b) => a + b, 0) : null;
    view.share.textContent = share === null ? '' : percent(share);
    element('shares').querySelectorAll('i')[view.number].style.width = `${100 * (share ?? 0)}%`;
    element('shares').querySelectorAll('dd')[view.number].textContent = share === null ? '–' : percent(share);
  },

  describe(item, most, announce) {
    const title = item ? this.nameOf(item) : 'Nothing is selected';
    const direct = !this.maps.latents;
    const text = {
      latent: 'In amber: the image patches that this latent reads, and the BEV cells that read this latent.',
      cell: direct
        ? 'In amber: the image patches that this BEV cell reads.'
        : 'In amber: the latents that this BEV cell reads and, through them, the image patches.'
          + (this.maps.samples ? ' Blue points: where the lift samples the images for this cell.' : ''),
      patch: direct
        ? 'In amber: the BEV cells that read this image patch.'
        : 'In amber: the latents that read this image patch and, through them, the BEV cells.',
    };
    element('selected').textContent = title;
    element('explanation').textContent = item ? text[item.kind] : 'Choose an image patch, '
      + `${direct ? '' : 'a latent '}or a BEV cell to see what it reads and what reads it.`;
    const key = item?.kind === 'patch' ? 'cells' : 'patches';
    const names = { patches: 'patch', latents: 'latent', cells: 'cell' };
    const strengths = Object.keys(names)
      .filter((kind) => this.shown[kind])
      .map((kind) => `${names[kind]} ${percent(most[kind])}`);
    element('most').textContent = ['strongest', strengths.join(', ')].join(' ').trim();
    if (!announce) return;
    const strongest = item && this.shown[key].indexOf(most[key]);
    const found = item ? this.nameOf({ kind: key === 'cells' ? 'cell' : 'patch', index: strongest }) : '';
    element('status').textContent = item ? `${title}. Strongest: ${found}, ${percent(most[key])}.` : title;
  },

  nameOf({ kind, index }) {
    const view = this.views.find((v) => this.within(v, { kind, index }) !== null);
    const at = this.within(view, { kind, index });
    const place = `row ${Math.floor(at / view.size[1]) + 1}, column ${(at % view.size[1]) + 1}`;
    const { cameras, grids } = this.maps.frame;
    if (kind === 'cell') return `BEV cell in ${place}`;
    if (kind === 'patch') return `${cameras[view.number].name}, patch in ${place}`;
    return `Latent${grids > 1 ? ` of ${cameras[view.number].name},` : ''} in ${place}`;
  },
};

explorer.start();
