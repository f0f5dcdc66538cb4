// The one event stream of a page. It is closed while the page is hidden: browsers allow six connections to a
// server, and hidden pages need none.
//
//   import { events } from "./events.js";
//   events.start();                                             opens the stream; repeating it does nothing
//   events.addEventListener("jobs", ({ detail }) => ...)        what the stream tells; also "readiness"
//   events.addEventListener("again", ...)                       something may have been missed: read all again
//   events.addEventListener("away" | "back", ...)               the server does not answer, or does again
const SERVER = new URL("../../", import.meta.url);
const KINDS = ["jobs", "readiness"];
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;

class Events extends EventTarget {
  #started = false;
  #source = null;
  #timer = 0;
  #pause = FIRST_PAUSE_MS;
  #isAway = false;
  #hasOpened = false;

  start() {
    if (this.#started) return;
    this.#started = true;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#close() : this.#open()));
    addEventListener("pagehide", () => this.#close());
    addEventListener("pageshow", () => this.#open());
    this.#open();
  }

  #open() {
    if (this.#source || document.hidden) return;
    clearTimeout(this.#timer);
    this.#source = new EventSource(new URL("api/v1/events", SERVER));
    this.#source.addEventListener("open", () => {
      this.#pause = FIRST_PAUSE_MS;
      this.#setAway(false);
      if (this.#hasOpened) this.#tell("again");
      this.#hasOpened = true;
    });
    this.#source.addEventListener("error", () => this.#retry());
    for (const kind of KINDS) {
      this.#source.addEventListener(kind, (event) => this.#tell(kind, JSON.parse(event.data)));
    }
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  async #retry() {
    this.#close();
    this.#timer = setTimeout(() => this.#open(), this.#pause);
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS);
    const isAway = !(await answers());
    this.#setAway(isAway);
    // The server answers but gives no stream: the session has ended, or too many streams are open.
    if (!isAway && this.#pause > 2 * FIRST_PAUSE_MS) this.#tell("again");
  }

  #setAway(isAway) {
    if (isAway !== this.#isAway) this.#tell(isAway ? "away" : "back");
    this.#isAway = isAway;
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}

async function answers() {
  try {
    return (await fetch(new URL("healthz", SERVER), { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

export const events = new Events();
