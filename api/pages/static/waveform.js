// The waveform of a track, drawn on a canvas, and where in it one is. Without peaks it is an even line.
const BINS = 800;
const BAR = 3; // pixels of one bar with its gap
const TRIES = 30;
const PAUSE_MS = 2000;

// The peaks of a track (0 to 255), or null if there are none. A worker may have to make them first.
export async function fetchPeaks(address, signal) {
  for (let left = TRIES; left > 0; left -= 1) {
    const answer = await fetch(`${address}/peaks?bins=${BINS}`, { signal, headers: { Accept: "application/json" } });
    if (answer.status === 200) return (await answer.json()).peaks;
    if (answer.status !== 202) return null;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return null;
}

export class Waveform {
  #canvas;
  #peaks = null;
  #part = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  set peaks(peaks) {
    this.#peaks = peaks;
    this.#draw();
  }

  // How much has been played, 0 to 1.
  set part(part) {
    this.#part = part;
    this.#draw();
  }

  #draw() {
    const canvas = this.#canvas;
    const scale = devicePixelRatio || 1;
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!width) return;
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    const style = getComputedStyle(canvas);
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const bars = Math.floor(width / BAR);
    for (let bar = 0; bar < bars; bar += 1) {
      const tall = Math.max(2, this.#level(bar / bars, (bar + 1) / bars) * height);
      context.fillStyle = style.getPropertyValue(bar / bars < this.#part ? "--accent" : "--line");
      context.fillRect(bar * BAR, (height - tall) / 2, BAR - 1, tall);
    }
  }

  // The loudest of a part of the track, 0 to 1.
  #level(from, to) {
    if (!this.#peaks?.length) return 0;
    const start = Math.floor(from * this.#peaks.length);
    const end = Math.max(start + 1, Math.ceil(to * this.#peaks.length));
    return Math.max(...this.#peaks.slice(start, end)) / 255;
  }
}
