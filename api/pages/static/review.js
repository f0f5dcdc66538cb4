// <mfa-review>: a question of a review, answered by keys. With `label` it asks about this label only.
// The form inside works without this; whatever has a key is a button or a radio button of it.
const TURN = ["yes", "no", "unsure", ""];
const BY_KEY = { y: "yes", n: "no", "?": "unsure" };
const SEEK_S = 5;
const PLAYS = "mfa-review-plays"; // whether the next track begins to play by itself
const USES_KEYS = "mfa-review-keys";

class Review extends HTMLElement {
  connectedCallback() {
    this.form = this.querySelector("form.answer");
    this.audio = this.querySelector("audio");
    const use = this.querySelector(".use-keys");
    use.checked = localStorage.getItem(USES_KEYS) !== "no";
    use.addEventListener("change", () => localStorage.setItem(USES_KEYS, use.checked ? "yes" : "no"));
    document.addEventListener("keydown", (event) => use.checked && this.#press(event));
    this.form.addEventListener("submit", () => sessionStorage.setItem(PLAYS, this.audio && !this.audio.paused ? "yes" : ""));
    // Browsers may refuse that until somebody has touched the page.
    if (sessionStorage.getItem(PLAYS)) this.audio?.play().catch(() => {});
  }

  #press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (this.#act(event.key.toLowerCase(), event.target, event.repeat)) event.preventDefault();
  }

  // Whether the key means something here.
  #act(key, target, isRepeated) {
    const isRadio = target.type === "radio";
    const isButton = !isRadio && target.closest("button, a, summary, audio, input, mfa-player") !== null;
    if (key === " ") {
      if (!this.audio || isButton || (isRadio && !target.checked)) return false;
      this.audio.paused ? this.audio.play() : this.audio.pause();
      return true;
    }
    if ((key === "arrowleft" || key === "arrowright") && !isRadio && !isButton && this.audio) {
      this.audio.currentTime += key === "arrowleft" ? -SEEK_S : SEEK_S;
      return true;
    }
    if (isRepeated) return key === "enter"; // a key held down saves one track only
    if (key === "enter") return !isButton && this.#submit("save");
    if (key === "s") return this.#submit("skip");
    if (key === "u") return this.#undo();
    const label = this.getAttribute("label");
    if (label !== null) return key in BY_KEY && this.#answer(BY_KEY[key]);
    if (key === "a") return this.#agree();
    const choice = this.querySelector(`.choice[data-key="${CSS.escape(key)}"]`);
    if (!choice) return false;
    const said = choice.querySelector("input:checked")?.value ?? "";
    set(choice, TURN[(TURN.indexOf(said) + 1) % TURN.length]);
    return true;
  }

  #submit(what) {
    this.form.requestSubmit(this.form.querySelector(`button[value="${what}"]`));
    return true;
  }

  #undo() {
    const form = document.getElementById("undo");
    const button = form?.querySelector("button");
    if (!button) return false;
    form.requestSubmit(button);
    return true;
  }

  #answer(verdict) {
    set(this.querySelector(".choice[data-key]"), verdict);
    return this.#submit("save");
  }

  #agree() {
    for (const choice of this.querySelectorAll(".choice[data-given]")) {
      if ((choice.querySelector("input:checked")?.value ?? "") === "") set(choice, "yes");
    }
    return true;
  }
}

function set(choice, verdict) {
  choice.querySelector(`input[type="radio"][value="${verdict}"]`).checked = true;
}

function isTyping(target) {
  return target.closest("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])") !== null;
}

customElements.define("mfa-review", Review);
