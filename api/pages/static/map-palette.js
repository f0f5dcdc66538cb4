// What colours a map has and what they mean: a byte per point, the colours of the bytes, and a legend.
const COLOURS = 12;
const UNKNOWN = 0;
const HIGHEST = 255;
const NAMES = { duplicates: ["one track", "several tracks"], disagreement: ["the same first label", "another first label"] };

export class Palette {
  #element;
  #apply;
  #legend;
  #entries = [];
  #ramp = false;

  // `apply(colours, rgba)` is told the bytes of the points, null if they stay as they are, and 256 colours.
  constructor(element, apply) {
    this.#element = element;
    this.#apply = apply;
    this.#legend = element.querySelector(".map-legend");
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#apply(null, this.#rgba()));
  }

  useLabels(colours, labels) {
    this.labels = labels;
    this.use("label", colours);
  }

  use(by, colours, names = by === "label" ? this.labels : (NAMES[by] ?? [])) {
    this.#ramp = by === "score";
    const counts = new Uint32Array(256);
    for (const colour of colours) counts[colour] += 1;
    this.#entries = names.slice(0, COLOURS).map((name, place) => ({ name, count: counts[place + 1], colour: `c${place + 1}` }));
    const shown = this.#entries.reduce((sum, each) => sum + each.count, 0);
    const others = colours.length - shown - counts[UNKNOWN];
    if (this.#ramp) this.#entries = [{ name: "score from 0 to 1", count: null, colour: "ramp" }];
    else if (others) this.#entries.push({ name: "others", count: others, colour: "other" });
    if (counts[UNKNOWN]) this.#entries.push({ name: by === "label" ? "no label" : "not known", count: counts[UNKNOWN], colour: "none" });
    this.#legend.replaceChildren(...this.#entries.map(makeEntry));
    this.#apply(colours, this.#rgba());
  }

  #rgba() {
    const style = getComputedStyle(this.#element);
    const read = (name) => toRgb(style.getPropertyValue(`--map-${name}`).trim());
    const rgba = new Uint8Array(1024);
    const set = (byte, [red, green, blue]) => rgba.set([red, green, blue, 255], 4 * byte);
    const [low, high, other] = [read("low"), read("high"), read("other")];
    for (let byte = 1; byte <= HIGHEST; byte += 1) {
      const part = (byte - 1) / (HIGHEST - 1);
      if (this.#ramp) set(byte, low.map((value, place) => value + part * (high[place] - value)));
      else set(byte, byte <= COLOURS ? read(byte) : other);
    }
    set(UNKNOWN, read("none"));
    return rgba;
  }
}

function toRgb(text) {
  return [1, 3, 5].map((place) => Number.parseInt(text.slice(place, place + 2), 16));
}

function makeEntry({ name, count, colour }) {
  const entry = document.createElement("li");
  entry.className = "label";
  const mark = document.createElement("span");
  mark.className = colour === "ramp" ? "ramp" : `swatch ${colour}`;
  entry.append(mark, name);
  if (count !== null) {
    const number = document.createElement("span");
    number.className = "quiet";
    number.textContent = count.toLocaleString("en");
    entry.append(number);
  }
  return entry;
}
