// <mfa-live id="..." on="jobs readiness">: a part of a page that follows the server. When one of the named events
// comes, the page is fetched again and this part is brought up to date; whatever is equal stays untouched, with
// its focus, its open details and its playing audio. `jobs="ID"` follows the events of one job only.
import { events } from "./events.js";
import { update } from "./update.js";

const SHORTEST_PAUSE_MS = 1000;

let fetched = null; // one request serves all parts of the page
let last = 0;

function fetchPage() {
  fetched ??= (async () => {
    await new Promise((resolve) => setTimeout(resolve, Math.max(50, last + SHORTEST_PAUSE_MS - Date.now())));
    last = Date.now();
    fetched = null;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname !== location.pathname) {
      location.reload(); // the session has ended
      return null;
    }
    return answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
  })();
  return fetched;
}

class Live extends HTMLElement {
  connectedCallback() {
    for (const kind of (this.getAttribute("on") ?? "").split(" ")) {
      events.addEventListener(kind, (event) => this.#concerns(kind, event.detail) && this.refresh());
    }
    events.addEventListener("again", () => this.refresh());
    events.start();
  }

  #concerns(kind, detail) {
    const job = this.getAttribute("job");
    if (kind !== "jobs" || !job) return true;
    return detail.changed.some((each) => each.id === job) || detail.gone.includes(job);
  }

  async refresh() {
    try {
      const page = await fetchPage();
      const part = page?.getElementById(this.id);
      if (part) {
        update(this, part);
        this.dispatchEvent(new Event("refreshed", { bubbles: true }));
      }
    } catch {
      // The server is away: the event stream notices that too, and this part is read again when it is back.
    }
  }
}

customElements.define("mfa-live", Live);
