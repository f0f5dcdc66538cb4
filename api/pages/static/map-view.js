// Which part of a map one sees. The map is a square of 65,536 units, y upwards; pixels are those of CSS, y downwards.
export const SIDE = 65535;
const MOST = 400; // times nearer than the whole
const ROOM = 0.95; // of the window that the whole map fills

export class View {
  #canvas;
  #x = SIDE / 2;
  #y = SIDE / 2;
  #near = 1;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  get near() {
    return this.#near;
  }

  // Pixels per unit.
  get scale() {
    return (this.#near * ROOM * Math.min(this.#canvas.clientWidth, this.#canvas.clientHeight)) / SIDE;
  }

  // Where the origin of the map lies, in pixels.
  shift() {
    return [this.#canvas.clientWidth / 2 - this.#x * this.scale, this.#canvas.clientHeight / 2 + this.#y * this.scale];
  }

  toPixels(x, y) {
    const [left, bottom] = this.shift();
    return [left + x * this.scale, bottom - y * this.scale];
  }

  toMap(left, top) {
    const [x, y] = this.shift();
    return [(left - x) / this.scale, (y - top) / this.scale];
  }

  // Pixels across a point: as large as their number leaves room for, larger from near.
  pointSize(count) {
    const room = Math.sqrt((this.#canvas.clientWidth * this.#canvas.clientHeight) / Math.max(count, 1)) / 4;
    return Math.min(14, Math.max(1, Math.min(room, 9) * Math.sqrt(this.#near) ** 0.8));
  }

  pan(right, down) {
    this.#x = between(this.#x - right / this.scale, 0, SIDE);
    this.#y = between(this.#y + down / this.scale, 0, SIDE);
  }

  // What lies under a pixel stays there.
  zoom(times, left = this.#canvas.clientWidth / 2, top = this.#canvas.clientHeight / 2) {
    const [x, y] = this.toMap(left, top);
    this.#near = between(this.#near * times, 1, MOST);
    const [after, below] = this.toMap(left, top);
    this.#x = between(this.#x + x - after, 0, SIDE);
    this.#y = between(this.#y + y - below, 0, SIDE);
    if (this.#near === 1) [this.#x, this.#y] = [SIDE / 2, SIDE / 2];
  }

  showAll() {
    this.#near = 1;
    [this.#x, this.#y] = [SIDE / 2, SIDE / 2];
  }

  goTo(x, y, near) {
    [this.#x, this.#y, this.#near] = [between(x, 0, SIDE), between(y, 0, SIDE), between(near, 1, MOST)];
  }
}

function between(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
