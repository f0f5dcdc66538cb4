// The points of a map on a canvas without a GPU: their pixels are set by this script, which is many times faster than
// WebGL in software. The same as `Points` in map-points.js otherwise.
const SAMPLE = 250000; // points that stand for all while the map moves

export class Raster {
  #canvas;
  #context;
  #positions = new Uint16Array();
  #colours = new Uint8Array();
  #palette = new Uint32Array(256);
  onDrawn = () => {};

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  setPositions(positions) {
    this.#positions = positions;
    this.#colours = new Uint8Array(positions.length / 2);
  }

  setColours(colours) {
    this.#colours = colours;
  }

  setPalette(rgba) {
    this.#palette = new Uint32Array(rgba.buffer.slice(0));
  }

  draw(view, isMoving) {
    const pixels = devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.#canvas.clientWidth * pixels));
    const height = Math.max(1, Math.round(this.#canvas.clientHeight * pixels));
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
    const image = this.#context.createImageData(width, height);
    const all = this.#positions.length / 2;
    const size = Math.max(1, Math.round(view.pointSize(all) * pixels));
    const [left, bottom] = view.shift().map((value) => value * pixels);
    const scale = view.scale * pixels;
    this.#fill(new Uint32Array(image.data.buffer), width, height, isMoving ? Math.min(all, SAMPLE) : all, left, bottom, scale, size);
    this.#context.putImageData(image, 0, 0);
    if (!isMoving) this.onDrawn();
  }

  #fill(target, width, height, count, left, bottom, scale, size) {
    const [positions, colours, palette] = [this.#positions, this.#colours, this.#palette];
    const offsets = disc(size);
    for (let place = 0; place < count; place += 1) {
      const column = (left + positions[2 * place] * scale) | 0;
      const row = (bottom - positions[2 * place + 1] * scale) | 0;
      if (column < 0 || row < 0 || column >= width || row >= height) continue;
      const colour = palette[colours[place]];
      if (size === 1) {
        target[row * width + column] = colour;
        continue;
      }
      for (let each = 0; each < offsets.length; each += 2) {
        const x = column + offsets[each];
        const y = row + offsets[each + 1];
        if (x >= 0 && y >= 0 && x < width && y < height) target[y * width + x] = colour;
      }
    }
  }
}

// The pixels of a point around its middle.
function disc(size) {
  const found = [];
  const low = -((size - 1) >> 1);
  const middle = low + (size - 1) / 2;
  for (let y = low; y < low + size; y += 1) {
    for (let x = low; x < low + size; x += 1) {
      if (size < 3 || Math.hypot(x - middle, y - middle) <= size / 2) found.push(x, y);
    }
  }
  return Int32Array.from(found);
}
