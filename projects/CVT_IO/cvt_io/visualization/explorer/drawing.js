// Pictures: pixels for what `maps.js` found.

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** Fits a canvas to its place on the screen; its context counts in CSS pixels. */
function fit(canvas, height = canvas.clientHeight) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext('2d');
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Edges of `count` cells in 0…1: side by side, or (BEV) with the outer cells' centres on the border. */
function edges(count, cornerToCorner) {
  const side = cornerToCorner && count > 1 ? 1 / (count - 1) : 1 / count;
  const first = cornerToCorner && count > 1 ? -side / 2 : 0;
  return Array.from({ length: count + 1 }, (_, i) => Math.min(Math.max(first + i * side, 0), 1));
}

/** A cell's x, y, width and height, in whole pixels, so that no seam shows between neighbours. */
function box(xs, ys, column, row, width, height) {
  const [x, y] = [Math.round(xs[column] * width), Math.round(ys[row] * height)];
  return [x, y, Math.round(xs[column + 1] * width) - x, Math.round(ys[row + 1] * height) - y];
}

/** Calls `paint(share of the most, x, y, width, height)` for each cell of a grid. */
function eachCell(values, most, xs, ys, width, height, paint) {
  const columns = xs.length - 1;
  for (let i = 0; i < values.length; i++)
    paint(most > 0 ? values[i] / most : 0, ...box(xs, ys, i % columns, Math.floor(i / columns), width, height));
}

function outline(context, rectangle, light) {
  const [x, y, w, h] = rectangle;
  context.lineWidth = 4;
  context.strokeStyle = light ? 'rgb(0 0 0 / .75)' : color('card');
  context.strokeRect(x + 1, y + 1, w - 2, h - 2);
  context.lineWidth = 2;
  context.strokeStyle = light ? '#fff' : color('select');
  context.strokeRect(x + 1, y + 1, w - 2, h - 2);
}

/** What is read stays bright and turns amber, the rest goes dark. */
function drawCamera(canvas, scale, values, most, selected) {
  const { context, width, height } = fit(canvas);
  const [ys, xs] = [patchEdges(scale, 0), patchEdges(scale, 1)];
  if (values) {
    eachCell(values, most, xs, ys, width, height, (share, ...rectangle) => {
      context.globalAlpha = 0.5 * (1 - share);
      context.fillStyle = '#080a10';
      context.fillRect(...rectangle);
      context.globalAlpha = 0.6 * share;
      context.fillStyle = '#ffb000';
      context.fillRect(...rectangle);
    });
    context.globalAlpha = 1;
  }
  if (selected !== null) {
    const columns = xs.length - 1;
    outline(context, box(xs, ys, selected % columns, Math.floor(selected / columns), width, height), true);
  }
}

/** The points that the lift samples, the fainter the less they count. */
function drawPoints(canvas, points) {
  const context = canvas.getContext('2d');
  for (const [x, y, weight] of points) {
    context.globalAlpha = 0.25 + 0.75 * weight;
    context.beginPath();
    context.arc(x * canvas.clientWidth, y * canvas.clientHeight, 3, 0, 2 * Math.PI);
    context.fillStyle = '#00c8ff';
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = '#fff';
    context.stroke();
  }
  context.globalAlpha = 1;
}

function drawLatents(canvas, size, values, most, selected) {
  const { context, width, height } = fit(canvas, (canvas.clientWidth * size[0]) / size[1]);
  canvas.style.height = `${height}px`;
  const [ys, xs] = [edges(size[0]), edges(size[1])];
  const gap = Math.max(1, Math.min(3, width / size[1] / 14));
  eachCell(values || new Float32Array(size[0] * size[1]), most, xs, ys, width, height, (share, x, y, w, h) => {
    context.fillStyle = color('ground');
    context.fillRect(x + gap, y + gap, w - 2 * gap, h - 2 * gap);
    context.globalAlpha = share;
    context.fillStyle = color('heat');
    context.fillRect(x + gap, y + gap, w - 2 * gap, h - 2 * gap);
    context.globalAlpha = 1;
  });
  if (selected !== null)
    outline(context, box(xs, ys, selected % size[1], Math.floor(selected / size[1]), width, height), false);
}

const [NOTHING, ON_ROAD, LEFT_OUT, POSITIVE] = [0, 1, 2, 3];

/** What `paint` draws as large as a canvas; kept until the size or the colours change. */
function layer(kept, name, canvas, paint) {
  const key = `${canvas.width} ${canvas.height} ${color('ground')}`;
  if (kept[name]?.key !== key) {
    const copy = Object.assign(document.createElement('canvas'), { width: canvas.width, height: canvas.height, key });
    const scale = canvas.width / canvas.clientWidth;
    copy.getContext('2d').scale(scale, scale);
    paint(copy.getContext('2d'));
    kept[name] = copy;
  }
  return kept[name];
}

function drawBev(canvas, bev, values, most, selected) {
  const { context, width, height } = fit(canvas, (canvas.clientWidth * bev.metres[0]) / bev.metres[1]);
  canvas.style.height = `${height}px`;
  bev.layers ??= {};
  context.drawImage(layer(bev.layers, 'below', canvas, (c) => drawGround(c, bev, width, height)), 0, 0, width, height);
  const [rows, columns] = bev.cells.map((count) => edges(count, !bev.tiled));
  if (values) {
    context.fillStyle = color('heat');
    eachCell(values, most, columns, rows, width, height, (share, ...rectangle) => {
      context.globalAlpha = 0.72 * share;
      context.fillRect(...rectangle);
    });
  }
  context.globalAlpha = 1;
  context.drawImage(layer(bev.layers, 'above', canvas, (c) => drawMarks(c, bev, width, height)), 0, 0, width, height);
  const count = bev.cells[1];
  if (selected !== null)
    outline(context, box(columns, rows, selected % count, Math.floor(selected / count), width, height), false);
}

/** Road and probability. */
function drawGround(context, bev, width, height) {
  context.fillStyle = color('ground');
  context.fillRect(0, 0, width, height);
  const [ys, xs] = [edges(bev.size[0]), edges(bev.size[1])];
  if (bev.truth) {
    context.fillStyle = color('road');
    eachCell(bev.truth, 1, xs, ys, width, height, (what, ...rectangle) => {
      if (what !== NOTHING) context.fillRect(...rectangle);
    });
  }
  context.fillStyle = color('predicted');
  eachCell(bev.probability, 255, xs, ys, width, height, (probability, ...rectangle) => {
    context.globalAlpha = probability;
    context.fillRect(...rectangle);
  });
}

/** Outlines of the truth, and the ego. */
function drawMarks(context, bev, width, height) {
  if (bev.truth) {
    drawBorder(context, bev, LEFT_OUT, 'faint', width, height);
    drawBorder(context, bev, POSITIVE, 'truth', width, height);
  }
  drawEgo(context, bev, width, height);
}

/** Lines between pixels of a kind and others. */
function drawBorder(context, bev, kind, name, width, height) {
  const [rows, columns] = bev.size;
  const at = (r, c) => r >= 0 && c >= 0 && r < rows && c < columns && bev.truth[r * columns + c] === kind;
  const [w, h] = [width / columns, height / rows];
  context.beginPath();
  for (let r = 0; r <= rows; r++) {
    for (let c = 0; c <= columns; c++) {
      if (at(r, c) !== at(r - 1, c)) context.moveTo(c * w, r * h), context.lineTo((c + 1) * w, r * h);
      if (at(r, c) !== at(r, c - 1)) context.moveTo(c * w, r * h), context.lineTo(c * w, (r + 1) * h);
    }
  }
  context.strokeStyle = color(name);
  context.lineWidth = 2;
  context.setLineDash(kind === LEFT_OUT ? [2, 3] : []);
  context.stroke();
  context.setLineDash([]);
}

/** An arrow ahead at the ego, and a bar of ten metres. */
function drawEgo(context, bev, width, height) {
  const [x, y] = [(bev.ego[0] / bev.size[1]) * width, (bev.ego[1] / bev.size[0]) * height];
  context.fillStyle = color('ink');
  context.strokeStyle = color('card');
  context.lineWidth = 1.5;
  context.beginPath();
  for (const [dx, dy] of [[0, -10], [7, 8], [0, 4], [-7, 8]]) context.lineTo(x + dx, y + dy);
  context.closePath();
  context.fill();
  context.stroke();
  const bar = (10 * width) / bev.metres[1];
  context.fillRect(12, height - 14, bar, 2.5);
  context.font = '12px system-ui, sans-serif';
  context.fillText('10 m', 12, height - 19);
}
