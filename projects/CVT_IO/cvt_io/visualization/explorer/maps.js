'use strict';
// Numbers: what a frame's bytes say, and how much of a thing each other thing reads. Nothing here draws.

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** Rows of weights: `levels` / 255 · the row's `peak`. */
function unpackRows(packed) {
  const levels = bytesOf(packed.levels);
  const peaks = new Float32Array(bytesOf(packed.peaks).buffer);
  return { levels, peaks, width: levels.length / peaks.length };
}

/** Where the lift looks for each BEV cell: places in 0…1 of a camera's picture. */
function unpackSamples(packed) {
  const words = (text) => new Uint16Array(bytesOf(text).buffer);
  const { count } = packed;
  return { count, camera: bytesOf(packed.camera), weight: bytesOf(packed.weight), u: words(packed.u), v: words(packed.v) };
}

/** Adds `weight` times a row to `out`. */
function addRow(rows, row, out, weight) {
  const scale = (weight * rows.peaks[row]) / 255;
  for (let i = 0, from = row * rows.width; i < rows.width; i++) out[i] += scale * rows.levels[from + i];
}

/** One head, or the mean of all: a Float32Array for each row of the head. */
function rowsOfHead(rows, heads, head) {
  const count = rows.peaks.length / heads;
  const chosen = head === null ? [...Array(heads).keys()] : [head];
  return Array.from({ length: count }, (_, row) => {
    const out = new Float32Array(rows.width);
    for (const one of chosen) addRow(rows, one * count + row, out, 1 / chosen.length);
    return out;
  });
}

/** Edges of a scale's patches in 0…1; the last of merged ones may be cut off. */
const patchEdges = (scale, axis) =>
  Array.from({ length: scale.size[axis] + 1 }, (_, i) => Math.min((i * scale.merged) / scale.feature_size[axis], 1));

/** Pairs of patches of two scales that overlap: [patch of `shown`, patch of `part`, the share of the latter]. */
function overlaps(shown, part) {
  const [rows, columns] = [0, 1].map((axis) => {
    const [to, from] = [patchEdges(shown, axis), patchEdges(part, axis)];
    const found = [];
    for (let i = 0; i + 1 < to.length; i++) {
      for (let j = 0; j + 1 < from.length; j++) {
        const common = Math.min(to[i + 1], from[j + 1]) - Math.max(to[i], from[j]);
        if (common > 1e-9) found.push([i, j, common / (from[j + 1] - from[j])]);
      }
    }
    return found;
  });
  return rows.flatMap(([i, j, high]) =>
    columns.map(([k, l, wide]) => [i * shown.size[1] + k, j * part.size[1] + l, high * wide]));
}

/** The attention of one frame, for a choice of scale and heads. */
class Maps {
  constructor(frame) {
    this.frame = frame;
    this.cameras = frame.cameras.length;
    this.readers = frame.grids * frame.reader_size[0] * frame.reader_size[1];
    this.cells = frame.bev.cells[0] * frame.bev.cells[1];
    this.scales = frame.scales.map((scale) => ({ ...scale, rows: unpackRows(scale) }));
    this.decode = frame.decode && unpackRows(frame.decode);
    this.samples = frame.samples && unpackSamples(frame.samples);
    this.choose(null, null, null);
  }

  /** Each is an index, or null for the mean. */
  choose(scale, head, decodeHead) {
    const { frame } = this;
    const finest = this.scales.reduce((a, b) => (a.size[1] >= b.size[1] ? a : b));
    const chosen = scale === null ? this.scales : [this.scales[scale]];
    this.shown = scale === null ? finest : chosen[0];
    const [height, width] = this.shown.size;
    this.patches = height * width; // of a camera
    const seen = this.cameras / frame.grids; // cameras that a reader sees
    this.reads = Array.from({ length: this.readers }, () => new Float32Array(this.patches * seen));
    for (const part of chosen) {
      const pairs = overlaps(this.shown, part);
      const size = part.size[0] * part.size[1];
      rowsOfHead(part.rows, frame.heads, head).forEach((row, reader) => {
        const out = this.reads[reader];
        for (let camera = 0; camera < seen; camera++) {
          const [at, from] = [camera * this.patches, camera * size];
          for (const [to, patch, share] of pairs) out[at + to] += (row[from + patch] * share) / chosen.length;
        }
      });
    }
    this.latents = this.decode && rowsOfHead(this.decode, frame.heads, decodeHead);
  }

  /** Where a reader's row begins among the patches of all cameras. */
  offset(reader) {
    const perGrid = this.readers / this.frame.grids;
    return this.frame.grids > 1 ? Math.floor(reader / perGrid) * this.patches : 0;
  }

  /** What a selection reads or is read by: weights of all patches, latents and BEV cells. */
  trace({ kind, index }) {
    if (kind === 'patch') return this.readersOf(index);
    const patches = new Float32Array(this.patches * this.cameras);
    const add = (reader, weight) => {
      const row = this.reads[reader];
      for (let i = 0, at = this.offset(reader); i < row.length; i++) patches[at + i] += weight * row[i];
    };
    if (kind === 'latent') {
      add(index, 1);
      return { patches, latents: null, cells: Float32Array.from(this.latents, (row) => row[index]) };
    }
    const latents = this.latents && this.latents[index];
    if (latents) latents.forEach((weight, reader) => add(reader, weight));
    else add(index, 1);
    return { patches, latents, cells: null };
  }

  /** The points of a BEV cell in a camera's picture: [x, y, weight], each in 0…1. */
  pointsOf(cell, camera) {
    const { count, camera: cameras, weight, u, v } = this.samples;
    return Array.from({ length: count }, (_, i) => cell * count + i)
      .filter((i) => weight[i] && cameras[i] === camera)
      .map((i) => [u[i] / 65535, v[i] / 65535, weight[i] / 255]);
  }

  readersOf(patch) {
    const column = Float32Array.from(this.reads, (row, reader) => row[patch - this.offset(reader)] || 0);
    if (!this.latents) return { patches: null, latents: null, cells: column };
    const cells = Float32Array.from(this.latents, (row) => row.reduce((sum, weight, i) => sum + weight * column[i], 0));
    return { patches: null, latents: column, cells };
  }
}
