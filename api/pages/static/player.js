// <mfa-player>: the one player of a page, around an <audio>. Links of the class `play` become buttons that play
// their track in it. Nothing of a file is loaded before it is played. Keys: space plays or halts; on the waveform
// the arrows move by 5 s, Page Up and Page Down by 30 s, Home and End to the ends.
import { Waveform, fetchPeaks } from "./waveform.js";

const STEP_S = 5;
const PAGE_S = 30;
const MOVES = { ArrowLeft: -STEP_S, ArrowDown: -STEP_S, ArrowRight: STEP_S, ArrowUp: STEP_S, PageUp: -PAGE_S, PageDown: PAGE_S };
const ICON = "M4 2.5v11l9.5-5.5z";
const HALT = "M4 2.5h3v11H4zM9 2.5h3v11H9z";
const CANNOT = "Browsers do not play this format; try another program.";
const FAILED = "This file cannot be played here.";

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function makeIcon() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of [["viewBox", "0 0 16 16"], ["width", 16], ["height", 16], ["aria-hidden", true]]) svg.setAttribute(key, value);
  for (const [kind, shape] of [["start", ICON], ["halt", HALT]]) {
    const path = document.createElementNS(svg.namespaceURI, "path");
    path.setAttribute("class", kind);
    path.setAttribute("d", shape);
    svg.append(path);
  }
  return svg;
}

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const rest = String(whole % 60).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  return minutes < 60 ? `${minutes}:${rest}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

class Player extends HTMLElement {
  #audio;
  #button;
  #now;
  #said;
  #canvas;
  #clock;
  #waveform;
  #track = null; // what is played or shown: id, title, artist, duration
  #asked = null; // ends the request for the peaks of the track before

  connectedCallback() {
    if (this.#audio) return;
    this.#audio = this.querySelector("audio");
    this.#audio.controls = false;
    this.#button = make("button", { type: "button", class: "play", "aria-label": "Play", "aria-pressed": "false" }, makeIcon());
    this.#now = make("p", { class: "now" });
    this.#said = make("p", { class: "said", role: "status" });
    this.#canvas = make("canvas", { role: "slider", tabindex: "0", "aria-label": "Place in the track", "aria-valuemin": "0" });
    this.#clock = make("span", { class: "clock" });
    this.append(make("div", { class: "player", role: "group", "aria-label": "Player" }, this.#now, this.#button, this.#canvas, this.#clock, this.#said));
    this.#waveform = new Waveform(this.#canvas);
    this.#button.addEventListener("click", () => this.toggle());
    this.#canvas.addEventListener("pointerdown", (event) => this.#seekTo(event.offsetX / this.#canvas.clientWidth));
    this.#canvas.addEventListener("keydown", (event) => this.#onKey(event));
    for (const kind of ["play", "pause", "ended", "timeupdate", "loadedmetadata", "seeked"]) {
      this.#audio.addEventListener(kind, () => this.#show());
    }
    this.#audio.addEventListener("error", () => this.#explain());
    document.addEventListener("click", (event) => this.#onClick(event));
    document.addEventListener("keydown", (event) => this.#onAnyKey(event));
    document.addEventListener("refreshed", () => this.#show());
    if (this.dataset.track) this.#load(this.dataset, false);
    else this.dataset.floating = "";
    this.#show();
  }

  toggle() {
    if (!this.#track) return;
    if (this.#audio.paused) this.#start();
    else this.#audio.pause();
  }

  #start() {
    this.#said.textContent = this.#track.isUnplayable ? CANNOT : "";
    // Refused by the browser, or stopped by the next track; an error of the file is an event of its own.
    this.#audio.play().catch(() => this.#show());
  }

  #load({ track, title, artist, duration, unplayable, unread }, isNamed) {
    this.#track = { id: track, duration: Number(duration) || 0, isUnplayable: unplayable !== undefined };
    const address = `${this.dataset.tracks}${track}`;
    if (this.#audio.getAttribute("src") !== `${address}/audio`) this.#audio.src = `${address}/audio`;
    this.#said.textContent = "";
    this.#now.replaceChildren();
    if (isNamed) this.#now.append(make("a", { href: `${this.dataset.page}${track}` }, title), artist ? ` ${artist}` : "");
    this.#audio.title = title;
    this.#asked?.abort();
    this.#asked = new AbortController();
    this.#waveform.peaks = null;
    this.hidden = false;
    if (unread !== undefined) return; // the server knows no peaks of a file that was not analysed
    fetchPeaks(address, this.#asked.signal).then(
      (peaks) => (this.#waveform.peaks = peaks),
      () => {}, // aborted for another track, or the server is away: the line stays even
    );
  }

  #onClick(event) {
    const link = event.target.closest?.("a.play");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button > 0) return;
    event.preventDefault();
    if (this.#track?.id === link.dataset.track) {
      this.toggle();
      return;
    }
    this.#load(link.dataset, true);
    this.#start();
  }

  #onAnyKey(event) {
    if (event.key !== " " || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const link = event.target.closest?.("a.play");
    if (link) {
      event.preventDefault();
      link.click();
    } else if (this.#track && !event.target.closest?.("input, select, textarea, button, summary, a, [contenteditable]")) {
      event.preventDefault();
      this.toggle();
    }
  }

  #onKey(event) {
    const length = this.#length();
    if (event.ctrlKey || event.altKey || event.metaKey || !length) return;
    const places = { Home: 0, End: length };
    const place = event.key in MOVES ? this.#audio.currentTime + MOVES[event.key] : places[event.key];
    if (place === undefined) return;
    event.preventDefault();
    this.#seekTo(place / length);
  }

  // `part`: 0 to 1. The place is kept until the file is known well enough to go there.
  #seekTo(part) {
    const length = this.#length();
    if (!this.#track || !length) return;
    const place = Math.min(Math.max(part, 0), 1) * length;
    if (this.#audio.readyState > 0) {
      this.#audio.currentTime = place;
    } else {
      this.#audio.addEventListener("loadedmetadata", () => (this.#audio.currentTime = place), { once: true });
      if (this.#audio.paused) this.#start();
    }
    this.#show();
  }

  #length() {
    return Number.isFinite(this.#audio.duration) && this.#audio.duration > 0 ? this.#audio.duration : (this.#track?.duration ?? 0);
  }

  #show() {
    const isPlaying = !this.#audio.paused && !this.#audio.ended;
    const length = this.#length();
    const place = this.#audio.currentTime;
    this.#waveform.part = length ? place / length : 0;
    this.#clock.textContent = `${clock(place)} / ${length ? clock(length) : "–"}`;
    this.#canvas.setAttribute("aria-valuemax", Math.round(length));
    this.#canvas.setAttribute("aria-valuenow", Math.round(place));
    this.#canvas.setAttribute("aria-valuetext", `${clock(place)} of ${clock(length)}`);
    this.#press(this.#button, isPlaying);
    for (const link of document.querySelectorAll("a.play")) {
      link.setAttribute("role", "button");
      const isThis = link.dataset.track === this.#track?.id;
      this.#press(link, isThis && isPlaying);
      link.closest("tr, li")?.classList.toggle("playing", isThis && isPlaying);
    }
  }

  #press(button, isPressed) {
    const value = String(isPressed);
    if (button.getAttribute("aria-pressed") !== value) button.setAttribute("aria-pressed", value);
  }

  // The server says why in a sentence; if it gives the file, the browser cannot play it.
  async #explain() {
    if (!this.#audio.getAttribute("src")) return;
    this.#said.textContent = this.#track?.isUnplayable ? CANNOT : FAILED;
    this.#show();
    try {
      const answer = await fetch(this.#audio.src, { headers: { Range: "bytes=0-0", Accept: "application/json" } });
      if (!answer.ok) this.#said.textContent = (await answer.json()).detail ?? FAILED;
    } catch {
      // The page says already that the server does not answer.
    }
  }
}

customElements.define("mfa-player", Player);
