// <mfa-threshold>: moves the threshold of a label and says what it would decide, as the server does for the address
// with this `threshold`. Rows of `data-counts` are a step of the scale, tracks without and with the label there.
const SPACE = "\u202f";

class Threshold extends HTMLElement {
  connectedCallback() {
    this.counts = JSON.parse(this.dataset.counts);
    this.points = this.counts.map(([step]) => this.decide(step));
    this.steps = Number(this.dataset.steps);
    this.own = this.decide(Number(this.dataset.own));
    this.range = this.querySelector("input[type=range]");
    this.number = this.querySelector("input[type=number]");
    this.plot = this.querySelector("svg.plot");
    const reset = this.querySelector("[data-do=reset]");
    this.range.hidden = reset.hidden = false;
    this.range.addEventListener("input", () => this.show(Number(this.range.value)));
    this.number.addEventListener("input", () => {
      if (this.number.value !== "" && this.number.validity.valid) {
        this.show(Math.round(Number(this.number.value) * this.steps), this.number);
      }
    });
    reset.addEventListener("click", () => this.show(this.own.step));
    this.plot.addEventListener("pointerdown", (event) => {
      this.plot.setPointerCapture(event.pointerId);
      this.follow(event);
    });
    this.plot.addEventListener("pointermove", (event) => event.buttons && this.follow(event));
    this.show(Number(this.range.value), this.number);
  }

  decide(step) {
    const found = { step, given: 0, right: 0, having: 0 };
    for (const [at, without, having] of this.counts) {
      found.having += having;
      if (at < step) continue;
      found.given += without + having;
      found.right += having;
    }
    return { ...found, precision: found.right / found.given, recall: found.right / found.having };
  }

  // To the point of the curve that is nearest.
  follow(event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.plot.getScreenCTM().inverse());
    const away = (point) => (100 * point.recall - x) ** 2 + (100 - 100 * point.precision - y) ** 2;
    this.show(this.points.reduce((best, point) => (away(point) < away(best) ? point : best)).step);
  }

  // `from`: the field that somebody types into, which is left as it is.
  show(step, from = null) {
    const found = this.decide(step);
    this.range.value = step;
    if (from !== this.number) this.number.value = (step / this.steps).toFixed(3);
    const texts = {
      threshold: (step / this.steps).toFixed(3),
      given: count(found.given),
      right: count(found.right),
      precision: score(found.precision),
      recall: score(found.recall),
      gained: count(Math.max(0, found.given - this.own.given)),
      lost: count(Math.max(0, this.own.given - found.given)),
    };
    for (const [name, text] of Object.entries(texts)) this.querySelector(`[data-out=${name}]`).textContent = text;
    this.range.setAttribute(
      "aria-valuetext",
      `${texts.threshold}: precision ${texts.precision}, recall ${texts.recall}, ${texts.gained} gained, ${texts.lost} lost`,
    );
    const mark = this.plot.querySelector(".chosen");
    const isDrawn = found.given > 0 && found.having > 0;
    mark.setAttribute("visibility", isDrawn ? "visible" : "hidden");
    if (isDrawn) {
      mark.setAttribute("cx", 100 * found.recall);
      mark.setAttribute("cy", 100 - 100 * found.precision);
    }
    const [low, high] = [step, this.own.step].sort((one, other) => one - other).map((each) => each / this.steps);
    this.querySelector("[data-out=library]").href = `${this.dataset.library}&min_score=${low}&max_score=${high}`;
    this.querySelector("[data-when=moved]").hidden = low === high;
  }
}

function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, SPACE);
}

function score(value) {
  return Number.isFinite(value) ? value.toFixed(3) : "–";
}

customElements.define("mfa-threshold", Threshold);

// A long page starts folded on a phone, but for the part that the address names.
if (matchMedia("(max-width: 40rem)").matches) {
  for (const part of document.querySelectorAll("details.fold")) part.open = `#${part.id}` === location.hash;
}
