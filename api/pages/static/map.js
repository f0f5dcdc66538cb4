// <mfa-map>: the map of all tracks. Drag, wheel and pinch move it, and so do the arrows, plus and minus; 0 shows all of
// it. What lies under the pointer, or nearest to the middle, is named; Enter or a click opens it.
import { Lasso } from "./map-lasso.js";
import { Points } from "./map-points.js";
import { Names } from "./map-names.js";
import { Palette } from "./map-palette.js";
import { Raster } from "./map-raster.js";
import { SIDE, View } from "./map-view.js";

const NEAR_PX = 14; // how far from the pointer a point may be to be meant
const STILL_MS = 140; // at rest before all points are drawn
const DWELL_MS = 120; // on a point before the server is asked what it is
const STEP_PX = 80;
const CLICK_PX = 4;
const SOUND_S = 5;
const SOUND_FROM = 0.3; // of the track
const KNOWN = 300; // points whose tracks are remembered
const KEYS = { ArrowLeft: [STEP_PX, 0], ArrowRight: [-STEP_PX, 0], ArrowUp: [0, STEP_PX], ArrowDown: [0, -STEP_PX] };
const REPLACED = "mfa-map-replaced"; // noted across a reload
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

class MusicMap extends HTMLElement {
  #frame;
  #canvas;
  #over;
  #tip;
  #said;
  #points;
  #view;
  #names;
  #palette;
  #positions = new Uint16Array();
  #matches = [];
  #meant = -1;
  #known = new Map();
  #pointers = new Map();
  #moved = 0;
  #still = 0;
  #dwell = 0;
  #audio = new Audio();
  #lasso = new Lasso();
  #marks = null; // the button that is pressed while an area is marked
  #mapId = "";

  connectedCallback() {
    this.#frame = this.querySelector(".map-frame");
    this.#tip = this.querySelector(".map-tip");
    this.#said = this.querySelector(".map-said");
    if (wasReplaced()) this.#say("A newer map has been drawn meanwhile: this is it.");
    this.#load().catch(() => this.#say("The map cannot be read now; load the page again."));
  }

  // Another map than that of the page answers: places of the two mean different tracks.
  replace() {
    noteReplaced();
    this.#say("A newer map has been drawn: it is being loaded.");
    location.reload();
  }

  // Whether an answer is of the map of the page, also if it does not say so; if not, that is loaded.
  #isCurrent(mapId) {
    if (mapId === undefined || mapId === this.#mapId) return true;
    this.replace();
    return false;
  }

  async #load() {
    const [facts, positions, colours] = await Promise.all([
      this.#ask("").then((answer) => answer.json()),
      this.#ask("/points"),
      this.#ask("/colours"),
    ]);
    this.#mapId = facts.map_id;
    if (!this.#isCurrent(mapOf(positions)) || !this.#isCurrent(mapOf(colours))) return;
    this.#positions = toNumbers(await positions.arrayBuffer());
    this.#points = this.#makePoints();
    this.#points.onDrawn = () => this.dispatchEvent(new Event("drawn", { bubbles: true }));
    this.#build(facts);
    this.#palette.useLabels(new Uint8Array(await colours.arrayBuffer()), facts.labels);
    const { map_id: mapId, tracks, complete } = await (await this.#ask("/unplaced")).json();
    if (!this.#isCurrent(mapId)) return;
    const have = `${tracks.toLocaleString("en")}${complete ? "" : " or more"} ${tracks === 1 ? "track has" : "tracks have"}`;
    if (tracks) this.#say(`${this.#said.textContent} ${have} no point on this map: analyse them, then draw the map again.`.trim());
  }

  // On a new canvas, by the GPU if there is one.
  #makePoints() {
    for (const Renderer of [Points, Raster]) {
      this.#canvas = document.createElement("canvas");
      try {
        const points = new Renderer(this.#canvas);
        points.setPositions(this.#positions);
        if (!points.isSlow?.()) return points;
      } catch {
        // There is no WebGL2.
      }
    }
    throw new Error("no canvas");
  }

  // `path` below that of the map, with the query of the page and further parameters.
  async #ask(path, parameters = {}) {
    const query = new URLSearchParams(this.dataset.query);
    for (const [name, value] of Object.entries(parameters)) query.set(name, value);
    const answer = await fetch(`${this.dataset.rest}${path}?${query}`, { headers: { Accept: "application/json, */*" } });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    return answer;
  }

  #build(facts) {
    this.dataset.drawn = "";
    this.#canvas.tabIndex = 0;
    this.#canvas.setAttribute("role", "application");
    this.#canvas.setAttribute("aria-label", `Map of ${facts.points} points. Arrows move it, plus and minus zoom, Enter opens the track nearest to the middle. The table of regions below tells the same.`);
    this.#over = document.createElement("canvas");
    this.#over.className = "over";
    this.#over.setAttribute("aria-hidden", "true");
    this.#frame.append(this.#canvas, this.#over, this.#buttons());
    this.#view = new View(this.#canvas);
    this.#names = new Names(this.#frame);
    this.#names.regions = facts.regions;
    this.#palette = new Palette(this, (colours, rgba) => {
      if (colours) this.#points.setColours(colours);
      this.#points.setPalette(rgba);
      this.#show(false);
    });
    new ResizeObserver(() => this.#show(false)).observe(this.#frame);
    this.#listen();
    this.#listenToForms();
  }

  #buttons() {
    const bar = document.createElement("div");
    bar.className = "map-buttons";
    for (const [text, label, act] of [
      ["Mark an area", "Mark an area: draw around tracks to list them", (button) => this.#setMarking(button)],
      ["List the tracks", "List the tracks in view", () => this.#listView()],
      ["+", "Nearer", () => this.#zoom(1.6)],
      ["–", "Farther", () => this.#zoom(1 / 1.6)],
      ["All", "Show all of it", () => this.#showAll()],
    ]) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet small";
      button.textContent = text;
      button.setAttribute("aria-label", label);
      button.addEventListener("click", () => act(button));
      bar.append(button);
    }
    return bar;
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.#zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
      this.#moved = 0;
      if (this.#marks) this.#lasso.start([event.offsetX, event.offsetY]);
    });
    canvas.addEventListener("pointermove", (event) => this.#onMove(event));
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => this.#onUp(event));
    canvas.addEventListener("pointerleave", () => this.#pointers.size || this.#mean(-1));
    canvas.addEventListener("keydown", (event) => this.#onKey(event));
    canvas.addEventListener("blur", () => this.#mean(-1));
  }

  #onMove(event) {
    const place = [event.offsetX, event.offsetY];
    const before = this.#pointers.get(event.pointerId);
    if (!before) {
      this.#mean(this.#nearest(...place));
      return;
    }
    if (this.#marks) {
      this.#lasso.add(place);
      this.#drawOver();
      return;
    }
    const [right, down] = [place[0] - before[0], place[1] - before[1]];
    this.#moved += Math.hypot(right, down);
    if (this.#moved > CLICK_PX) this.#frame.classList.add("dragging");
    if (this.#pointers.size === 2) this.#pinch(event.pointerId, before, place);
    else if (this.#moved > CLICK_PX) this.#view.pan(right, down);
    this.#pointers.set(event.pointerId, place);
    this.#show(true);
  }

  #pinch(id, before, after) {
    const [, other] = [...this.#pointers].find(([each]) => each !== id);
    const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
    this.#view.zoom(apart(after) / Math.max(apart(before), 1), (after[0] + other[0]) / 2, (after[1] + other[1]) / 2);
  }

  #onUp(event) {
    if (!this.#pointers.delete(event.pointerId)) return;
    this.#frame.classList.remove("dragging");
    if (this.#marks) {
      this.#list(event.type === "pointerup" ? this.#lasso.corners(this.#view) : null);
      return;
    }
    if (event.type === "pointerup" && this.#moved <= CLICK_PX) this.#open(this.#nearest(event.offsetX, event.offsetY));
  }

  #onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in KEYS) this.#view.pan(...KEYS[event.key]);
    else if (event.key === "+" || event.key === "=") this.#view.zoom(1.4);
    else if (event.key === "-") this.#view.zoom(1 / 1.4);
    else if (event.key === "0" || event.key === "Home") this.#view.showAll();
    else if (event.key === "Enter") this.#open(this.#meant);
    else if (event.key === "Escape" && this.#marks) this.#setMarking(this.#marks);
    else return;
    event.preventDefault();
    this.#show(true);
    this.#mean(this.#nearest(this.#canvas.clientWidth / 2, this.#canvas.clientHeight / 2, Infinity));
  }

  #setMarking(button) {
    this.#marks = this.#marks ? null : button;
    this.#lasso.clear();
    button.setAttribute("aria-pressed", String(Boolean(this.#marks)));
    this.#frame.classList.toggle("lasso", Boolean(this.#marks));
    this.#say(this.#marks ? "Draw around the tracks that you mean." : "");
    this.#drawOver();
  }

  #listView() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#list([[0, 0], [clientWidth, 0], [clientWidth, clientHeight], [0, clientHeight]].map((place) => this.#view.toMap(...place)));
  }

  // Opens the list of the tracks within corners on the map.
  #list(corners) {
    if (this.#marks) this.#setMarking(this.#marks);
    if (!corners) return;
    const numbers = corners.flat().map((value) => Math.round(Math.min(SIDE, Math.max(0, value))));
    const query = new URLSearchParams({ area: `${this.#mapId}:${numbers.join(",")}` });
    const model = new URLSearchParams(this.dataset.query).get("model");
    if (model) query.set("model", model);
    location.href = `${this.dataset.area}?${query}`;
  }

  #zoom(times, left, top) {
    this.#view.zoom(times, left, top);
    this.#show(true);
  }

  #showAll() {
    this.#view.showAll();
    this.#show(true);
  }

  // The place of the point nearest to a pixel, -1 if none is near.
  #nearest(left, top, within = NEAR_PX) {
    const [x, y] = this.#view.toMap(left, top);
    const positions = this.#positions;
    let nearest = -1;
    let least = (within / this.#view.scale) ** 2;
    for (let place = 0; place < positions.length; place += 2) {
      const right = positions[place] - x;
      const up = positions[place + 1] - y;
      const distance = right * right + up * up;
      if (distance < least) {
        least = distance;
        nearest = place / 2;
      }
    }
    return nearest;
  }

  #mean(place) {
    if (place === this.#meant) return;
    this.#meant = place;
    this.#frame.classList.toggle("pointing", place >= 0);
    clearTimeout(this.#dwell);
    this.#audio.pause();
    this.#tip.hidden = true;
    this.#drawOver();
    if (place >= 0) this.#dwell = setTimeout(() => this.#tell(place), DWELL_MS);
  }

  async #tell(place) {
    const point = await this.#find(place);
    if (place !== this.#meant || !this.#isCurrent(point.map_id)) return;
    const [track] = point.tracks;
    const title = document.createElement("b");
    title.textContent = track ? nameOf(track) : "This track is gone.";
    const artist = document.createElement("span");
    artist.textContent = track ? String(track.tags?.artist ?? track.path) : "";
    const labels = document.createElement("span");
    labels.textContent = track ? track.labels.slice(0, 4).map((each) => each.label).join(", ") : "";
    this.#tip.replaceChildren(title, artist, labels);
    if (point.tracks.length > 1) {
      const more = document.createElement("span");
      more.textContent = `and ${point.tracks.length - 1} with the same audio`;
      this.#tip.append(more);
    }
    this.#tip.hidden = false;
    this.#placeTip(place);
    if (track && this.querySelector("#sound").checked) this.#play(track);
  }

  #placeTip(place) {
    const [left, top] = this.#view.toPixels(this.#positions[2 * place], this.#positions[2 * place + 1]);
    const { offsetWidth, offsetHeight } = this.#tip;
    const across = left + offsetWidth + 16 > this.#frame.clientWidth ? left - offsetWidth - 12 : left + 12;
    const down = top + offsetHeight + 16 > this.#frame.clientHeight ? top - offsetHeight - 12 : top + 12;
    this.#tip.style.transform = `translate(${Math.max(0, across)}px, ${Math.max(0, down)}px)`;
  }

  async #find(place) {
    if (!this.#known.has(place)) {
      if (this.#known.size >= KNOWN) this.#known.delete(this.#known.keys().next().value);
      this.#known.set(place, this.#ask(`/points/${place}`).then((answer) => answer.json()));
    }
    try {
      return await this.#known.get(place);
    } catch {
      this.#known.delete(place);
      return { map_id: this.#mapId, tracks: [] };
    }
  }

  #play(track) {
    const audio = this.#audio;
    audio.src = `${this.dataset.tracks}${track.id}/audio`;
    audio.onloadedmetadata = () => {
      const start = Number.isFinite(audio.duration) ? SOUND_FROM * audio.duration : 0;
      audio.currentTime = start;
      audio.ontimeupdate = () => audio.currentTime > start + SOUND_S && audio.pause();
    };
    audio.play().catch(() => {}); // a format that browsers do not play, or the pointer has gone on
  }

  async #open(place) {
    if (place < 0) return;
    const { map_id: mapId, tracks } = await this.#find(place);
    if (!this.#isCurrent(mapId)) return;
    const [track] = tracks;
    if (track) location.href = `${this.dataset.page}${track.id}`;
    else this.#say("This track is gone.");
  }

  #listenToForms() {
    this.querySelector("#sound").addEventListener("change", () => this.#audio.pause());
    const colour = this.querySelector("#colour");
    const label = this.querySelector("#score-label");
    const against = this.querySelector("#against");
    const recolour = () => this.#recolour(colour.value, { label: label.value, against: against?.value }).catch((error) => this.#say(error.message));
    for (const each of [colour, label, against]) each?.addEventListener("change", recolour);
    this.querySelector(".map-search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search(this.querySelector("#find").value.trim()).catch((error) => this.#say(error.message));
    });
    this.querySelector("#find").addEventListener("input", (event) => event.target.value || this.#search(""));
  }

  async #recolour(by, { label, against }) {
    for (const field of this.querySelectorAll("[data-for]")) field.hidden = field.dataset.for !== by;
    const parameters = { by };
    if (by === "score") parameters.label = label;
    if (by === "disagreement") parameters.against = against;
    const answer = await this.#ask("/colours", parameters);
    if (!this.#isCurrent(mapOf(answer))) return;
    const colours = new Uint8Array(await answer.arrayBuffer());
    const libraries = by === "library" ? await this.#libraries() : [];
    this.#palette.use(by, colours, libraries);
  }

  async #libraries() {
    const answer = await fetch(`${this.dataset.rest.replace(/map$/, "libraries")}`, { headers: { Accept: "application/json" } });
    return (await answer.json()).items.map((each) => each.name);
  }

  async #search(text) {
    if (!text) {
      this.#matches = [];
      this.#say("");
      this.#drawOver();
      return;
    }
    const found = await (await this.#ask("/matches", { text })).json();
    if (!this.#isCurrent(found.map_id)) return;
    this.#matches = found.places;
    const count = `${found.places.length}${found.complete ? "" : " and more"}`;
    this.#say(found.places.length ? `${count} ${found.places.length === 1 ? "point is" : "points are"} marked.` : "No track on the map is like that.");
    this.#drawOver();
  }

  // Draws a sample now and, once nothing has moved for a moment, all points.
  #show(isMoving) {
    clearTimeout(this.#still);
    this.#points.draw(this.#view, isMoving);
    this.#names.show(this.#view);
    this.#drawOver();
    if (this.#meant >= 0 && !this.#tip.hidden) this.#placeTip(this.#meant);
    if (isMoving) this.#still = setTimeout(() => this.#show(false), STILL_MS);
  }

  // Rings around what is meant and what was searched for.
  #drawOver() {
    const pixels = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.#frame;
    this.#over.width = clientWidth * pixels;
    this.#over.height = clientHeight * pixels;
    const context = this.#over.getContext("2d");
    context.scale(pixels, pixels);
    const style = getComputedStyle(this);
    context.strokeStyle = style.getPropertyValue("--bad");
    context.lineWidth = 1.5;
    for (const place of this.#matches) this.#ring(context, place, 5);
    context.strokeStyle = style.getPropertyValue("--ink");
    context.lineWidth = 2;
    if (this.#meant >= 0) this.#ring(context, this.#meant, 8);
    this.#lasso.draw(context);
  }

  #ring(context, place, radius) {
    const [left, top] = this.#view.toPixels(this.#positions[2 * place], this.#positions[2 * place + 1]);
    context.beginPath();
    context.arc(left, top, radius, 0, 2 * Math.PI);
    context.stroke();
  }

  #say(sentence) {
    this.#said.textContent = sentence;
  }
}

function nameOf(track) {
  return String(track.tags?.title ?? track.path.split("/").at(-1));
}

// Whether the page was loaded because of a newer map. Where the browser keeps nothing, that is not told.
function wasReplaced() {
  try {
    const replaced = sessionStorage.getItem(REPLACED) !== null;
    sessionStorage.removeItem(REPLACED);
    return replaced;
  } catch {
    return false;
  }
}

function noteReplaced() {
  try {
    sessionStorage.setItem(REPLACED, "yes");
  } catch {
    // The browser keeps nothing.
  }
}

// The id of the map in the ETag of an answer of bytes; undefined behind a proxy that strips it.
function mapOf(answer) {
  return answer.headers.get("ETag")?.match(/"([0-9a-f-]{36})/)?.[1];
}

// The server sends 16-bit numbers with their low byte first.
function toNumbers(buffer) {
  if (LITTLE_ENDIAN) return new Uint16Array(buffer);
  const view = new DataView(buffer);
  return Uint16Array.from({ length: buffer.byteLength / 2 }, (_, place) => view.getUint16(2 * place, true));
}

// A new map has been drawn: its points, names and table are read again.
const current = () => document.getElementById("current-map")?.dataset.map;
const shown = current();
document.getElementById("drawing")?.addEventListener("refreshed", () => {
  if (current() === shown) return;
  const map = document.querySelector("mfa-map");
  if (map) map.replace();
  else location.reload(); // the first one
});

customElements.define("mfa-map", MusicMap);
