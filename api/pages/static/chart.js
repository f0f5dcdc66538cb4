// <mfa-chart>: says the values of all lines at the epoch under the pointer, or at the one that arrow keys choose.
// Each polyline has its `points`, and their `data-values` as `x:y`; they are read again each time, as a live page changes them.
const HINT = "Point at the chart, or move through it by arrow keys, to see its values.";

class Chart extends HTMLElement {
  #at = null; // where the cursor was last
  #shown = null; // where it is; null if it is not shown

  connectedCallback() {
    const svg = this.querySelector("svg");
    this.#show(null);
    // A live page has then taken away what is only shown here.
    this.closest("mfa-live")?.addEventListener("refreshed", () => this.#show(this.#shown));
    svg.addEventListener("pointermove", (event) => this.#follow(event));
    svg.addEventListener("pointerdown", (event) => this.#follow(event));
    svg.addEventListener("pointerleave", () => document.activeElement !== svg && this.#show(null));
    svg.addEventListener("focus", () => this.#show(this.#at ?? this.#places().at(-1)?.x ?? null));
    svg.addEventListener("blur", () => this.#show(null));
    svg.addEventListener("keydown", (event) => this.#move(event));
  }

  // The lines with their points: `x` and `y` in units of the epoch and of the value, `left` in units of the picture.
  #lines() {
    return [...this.querySelectorAll("polyline")].map((line) => {
      const lefts = line.getAttribute("points").split(" ").map((point) => Number(point.split(",")[0]));
      const points = line.dataset.values.split(" ").map((pair, at) => {
        const [x, y] = pair.split(":");
        return { x: Number(x), y, left: lefts[at] };
      });
      return { name: line.dataset.name, points };
    });
  }

  #places() {
    const byX = new Map(this.#lines().flatMap(({ points }) => points.map((point) => [point.x, point])));
    return [...byX.values()].sort((one, other) => one.x - other.x);
  }

  #follow(event) {
    const svg = this.querySelector("svg");
    const { x } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const away = (place) => Math.abs(place.left - x);
    const places = this.#places();
    if (places.length) this.#show(places.reduce((best, place) => (away(place) < away(best) ? place : best)).x);
  }

  #move(event) {
    const places = this.#places();
    const now = places.findIndex(({ x }) => x === this.#at);
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: places.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#show(places[Math.min(places.length - 1, Math.max(0, to))]?.x ?? null);
  }

  #show(x) {
    const cursor = this.querySelector(".cursor");
    const place = this.#places().find((each) => each.x === x);
    this.#shown = place ? x : null;
    cursor.setAttribute("visibility", place ? "visible" : "hidden");
    this.querySelector("output").textContent = place ? this.#say(x) : HINT;
    if (!place) return;
    this.#at = x;
    cursor.setAttribute("x1", place.left);
    cursor.setAttribute("x2", place.left);
  }

  #say(x) {
    const said = this.#lines().flatMap(({ name, points }) => {
      const point = points.find((each) => each.x === x);
      return point ? [`${name} ${point.y}`] : [];
    });
    return `Epoch ${x}: ${said.join(", ")}`;
  }
}

customElements.define("mfa-chart", Chart);
