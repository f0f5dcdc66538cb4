// A path drawn around points of a map, in pixels of its canvas, and the area that it means.
const SHORTEST_PX = 4; // between two corners
const MOST = 80; // corners that the server is told
const FEWEST = 3;

export class Lasso {
  #path = [];

  start(place) {
    this.#path = [place];
  }

  add(place) {
    const [left, top] = this.#path.at(-1);
    if (Math.hypot(place[0] - left, place[1] - top) >= SHORTEST_PX) this.#path.push(place);
  }

  clear() {
    this.#path = [];
  }

  draw(context) {
    if (this.#path.length < 2) return;
    context.beginPath();
    for (const place of this.#path) context.lineTo(...place);
    context.closePath();
    context.setLineDash([6, 4]);
    context.stroke();
    context.setLineDash([]);
  }

  // Its corners on the map, null if it encloses nothing.
  corners(view) {
    if (this.#path.length < FEWEST) return null;
    const step = Math.ceil(this.#path.length / MOST);
    return this.#path.filter((_, number) => number % step === 0).map((place) => view.toMap(...place));
  }
}
