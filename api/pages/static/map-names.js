// Names of the regions of a map, as text above it. More appear from near; those that would cover another are left out.
const LEVELS = [1, 2.2, 5]; // how near the levels behind the first one are shown
const HEIGHT = 22;
const MOST = 40;

export class Names {
  #frame;
  #regions = [];
  #shown = [];

  constructor(frame) {
    this.#frame = frame;
  }

  set regions(regions) {
    this.#regions = regions;
  }

  show(view) {
    this.#shown.forEach((name) => name.remove());
    const level = LEVELS.filter((near) => view.near > near).length;
    const taken = [];
    const { clientWidth, clientHeight } = this.#frame;
    for (const region of this.#regions) {
      if (region.level !== level || taken.length >= MOST) continue;
      const [left, top] = view.toPixels(region.x, region.y);
      const half = 4.5 * region.label.length + 4;
      if (left < half || top < HEIGHT || left > clientWidth - half || top > clientHeight - HEIGHT) continue;
      if (taken.some(([x, y, width]) => Math.abs(x - left) < width + half && Math.abs(y - top) < HEIGHT)) continue;
      taken.push([left, top, half, region.label]);
    }
    this.#shown = taken.map(([left, top, , label]) => {
      const name = document.createElement("span");
      name.className = "map-name";
      name.setAttribute("aria-hidden", "true"); // the table below has them
      name.textContent = label;
      name.style.transform = `translate(${left}px, ${top}px) translate(-50%, -50%)`;
      return name;
    });
    this.#frame.append(...this.#shown);
  }
}
