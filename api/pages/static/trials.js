// <mfa-trials>: pictures in which every trial can be pointed at. Each path of a picture has one part for each trial
// in `data-trials`. What is under the pointer is shown beside it and marked in all pictures; a click opens its page.
// Keys on a picture: arrows go from trial to trial, Home and End to the ends, Enter opens, Escape hides.
const NEAR_PX = 18;
const SVG = "http://www.w3.org/2000/svg";

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// The parts of a path as `{trial, points, shape}`, in the units of the picture.
function readParts(path) {
  const trials = path.dataset.trials.split(" ");
  const shapes = path.getAttribute("d").split("M").slice(1);
  return shapes.map((shape, place) => ({
    trial: trials[place],
    shape: `M${shape}`,
    points: shape.replace("h0", "").split("L").map((pair) => pair.trim().split(" ").map(Number)),
  }));
}

const known = new WeakMap(); // path -> what it held when it was read

function partsOf(svg) {
  return [...svg.querySelectorAll("path[data-trials]")].flatMap((path) => {
    const content = path.getAttribute("d");
    if (known.get(path)?.content !== content) known.set(path, { content, parts: readParts(path) });
    return known.get(path).parts;
  });
}

// The square of the distance from a point to a line between two others.
function squaredDistance([x, y], [x1, y1], [x2, y2]) {
  const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
  const along = length ? Math.max(0, Math.min(1, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length)) : 0;
  return (x - x1 - along * (x2 - x1)) ** 2 + (y - y1 - along * (y2 - y1)) ** 2;
}

function distance(point, { points }) {
  let least = squaredDistance(point, points[0], points[0]);
  for (let place = 1; place < points.length; place += 1) {
    least = Math.min(least, squaredDistance(point, points[place - 1], points[place]));
  }
  return Math.sqrt(least);
}

class Trials extends HTMLElement {
  #card;
  #current = null; // the trial that is shown
  #place = null; // gives where the trial is in the window that keys have led to
  #wasShown = null; // when a finger comes down

  connectedCallback() {
    if (this.#card) return;
    this.#card = make("div", { class: "trial-card", role: "status", hidden: "" });
    document.body.append(this.#card);
    this.addEventListener("pointermove", (event) => this.#onPointer(event));
    this.addEventListener("pointerdown", (event) => {
      this.#wasShown = this.#current;
      this.#onPointer(event);
    });
    this.addEventListener("pointerleave", ({ pointerType }) => pointerType === "touch" || this.#hide());
    this.addEventListener("click", (event) => this.#onClick(event));
    this.addEventListener("keydown", (event) => this.#onKey(event));
    this.addEventListener("focusin", (event) => this.#onFocus(event));
    this.addEventListener("focusout", () => this.#hide());
    document.addEventListener("refreshed", () => this.#onRefreshed());
    addEventListener("scroll", () => (this.#place ? this.#put(...this.#place()) : this.#hide()), { passive: true });
  }

  disconnectedCallback() {
    this.#card?.remove();
  }

  #onPointer(event) {
    const svg = event.target.closest?.("svg.axes");
    const part = svg && this.#nearest(svg, event.clientX, event.clientY);
    this.#place = null;
    if (part) this.#show(part.trial, event.clientX, event.clientY);
    else this.#hide();
  }

  #nearest(svg, clientX, clientY) {
    const matrix = svg.getScreenCTM();
    const at = new DOMPoint(clientX, clientY).matrixTransform(matrix.inverse());
    let found = null;
    let least = NEAR_PX / matrix.a;
    for (const part of partsOf(svg)) {
      const away = distance([at.x, at.y], part);
      if (away <= least) [found, least] = [part, away];
    }
    return found;
  }

  #onClick(event) {
    if (!event.target.closest?.("svg.axes") || this.#current === null) return;
    // The first touch shows a trial, the second one opens it.
    if (event.pointerType === "touch" && this.#wasShown !== this.#current) return;
    this.#open(event.ctrlKey || event.metaKey);
  }

  #open(inNewTab) {
    const address = `${this.dataset.page}${this.#current}`;
    if (inNewTab) window.open(address, "_blank", "noopener");
    else location.href = address;
  }

  #onFocus(event) {
    const svg = event.target.closest?.("svg.axes");
    if (svg?.matches(":focus-visible")) this.#step(svg, (place) => Math.max(place, 0));
  }

  #onKey(event) {
    const svg = event.target.closest?.("svg.axes");
    if (!svg || event.ctrlKey || event.altKey || event.metaKey) return;
    const steps = {
      ArrowRight: (place) => place + 1, ArrowUp: (place) => place + 1,
      ArrowLeft: (place) => place - 1, ArrowDown: (place) => place - 1,
      Home: () => 0, End: () => Infinity,
    };
    if (event.key in steps) this.#step(svg, steps[event.key]);
    else if (event.key === "Enter" && this.#current !== null) this.#open(false);
    else if (event.key === "Escape") this.#hide();
    else return;
    event.preventDefault();
  }

  // To another trial of a picture, of all from left to right.
  #step(svg, next) {
    const parts = partsOf(svg).sort((a, b) => a.points[0][0] - b.points[0][0] || b.points[0][1] - a.points[0][1]);
    if (!parts.length) return;
    const before = parts.findIndex((part) => part.trial === this.#current);
    const part = parts[Math.max(0, Math.min(parts.length - 1, next(before)))];
    this.#place = () => {
      const { x, y } = new DOMPoint(...part.points[0]).matrixTransform(svg.getScreenCTM());
      return [x, y];
    };
    this.#show(part.trial, ...this.#place());
  }

  #show(trial, x, y) {
    if (trial !== this.#current) {
      this.#current = trial;
      this.#mark();
      this.#fill();
    }
    this.dataset.near = "";
    this.#card.hidden = false;
    this.#put(x, y);
  }

  // The card beside a point of the window.
  #put(x, y) {
    const { offsetWidth: width, offsetHeight: height } = this.#card;
    this.#card.style.left = `${Math.max(8, x + 16 + width < innerWidth ? x + 16 : x - 16 - width)}px`;
    this.#card.style.top = `${Math.max(8, Math.min(y + 12, innerHeight - height - 8))}px`;
  }

  #hide() {
    if (this.#current === null) return;
    this.#current = this.#place = null;
    this.#card.hidden = true;
    delete this.dataset.near;
    this.#mark();
  }

  // The trial in all pictures that have it.
  #mark() {
    for (const old of this.querySelectorAll(".current, .current-inside")) old.remove();
    if (this.#current === null) return;
    for (const svg of this.querySelectorAll("svg.axes")) {
      const part = partsOf(svg).find((each) => each.trial === this.#current);
      if (!part) continue;
      for (const look of ["current", "current-inside"]) {
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("class", look);
        path.setAttribute("d", part.shape);
        svg.append(path);
      }
    }
  }

  #fill() {
    const { names, trials } = JSON.parse(this.dataset.details);
    const [state, ...values] = trials[this.#current] ?? ["", ...names.map(() => "–")];
    const lines = names.flatMap((name, place) =>
      values[place] === "–" ? [] : [make("dt", {}, name), make("dd", {}, values[place])],
    );
    this.#card.replaceChildren(
      make("p", {}, make("span", {}, `Trial ${this.#current}`), make("span", { class: `state ${state}` }, state)),
      make("dl", {}, ...lines),
    );
  }

  // The page has been brought up to date: what was drawn besides is gone.
  #onRefreshed() {
    if (this.#current === null) return;
    this.dataset.near = "";
    this.#fill();
    this.#mark();
  }
}

customElements.define("mfa-trials", Trials);
