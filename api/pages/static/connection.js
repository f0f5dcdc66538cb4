// <mfa-connection hidden>: one sentence while the server does not answer, or (unless `quiet` is set) is not ready.
import { events } from "./events.js";

const AWAY = "The server does not answer; trying again.";

class Connection extends HTMLElement {
  #isAway = false;
  #missing = [];

  connectedCallback() {
    events.addEventListener("away", () => this.#show(true, this.#missing));
    events.addEventListener("back", () => this.#show(false, this.#missing));
    if (document.querySelector("nav")) events.start(); // where nobody is logged in there is none
    events.addEventListener("readiness", ({ detail }) => this.#show(this.#isAway, detail.missing));
  }

  #show(isAway, missing) {
    this.#isAway = isAway;
    this.#missing = missing;
    const sentences = isAway ? [AWAY] : this.hasAttribute("quiet") ? [] : missing;
    this.textContent = sentences.join(" ");
    this.hidden = sentences.length === 0;
  }
}

customElements.define("mfa-connection", Connection);
