// The points of a map on a canvas, drawn by WebGL2. Their order is random, so the first of them stand for all while
// the map moves; at rest all are drawn, a slice per frame, so that the page stays responsive without a GPU.
const SIDE = 65535;
const FRAME_MS = 24; // of drawing, while the map moves
const SLICE_MS = 80; // of drawing at a time, at rest
const PROBE = 20000; // points by which the speed is measured
const SLOW_MS = 0.0005; // per point
const FEW = 20000; // points that any renderer is fast enough for
const VERTEX = `#version 300 es
in vec2 position;
in uint colour;
uniform vec2 scale;
uniform vec2 shift;
uniform mediump float size;
uniform sampler2D palette;
flat out vec4 shade;
void main() {
  gl_Position = vec4(position * scale + shift, 0.0, 1.0);
  gl_PointSize = size;
  shade = texelFetch(palette, ivec2(int(colour), 0), 0);
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
flat in vec4 shade;
uniform bool round;
uniform mediump float size;
out vec4 pixel;
void main() {
  float covered = round ? clamp((0.5 - length(gl_PointCoord - 0.5)) * size, 0.0, 1.0) : 1.0;
  if (covered == 0.0) discard;
  pixel = shade * covered;
}`;

// Throws where there is no WebGL2.
export class Points {
  #gl;
  #canvas;
  #uniforms = {};
  #count = 0;
  #msPerPoint = 0;
  #timer = 0;
  #vertices;
  onDrawn = () => {}; // all points are drawn

  constructor(canvas) {
    this.#canvas = canvas;
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, preserveDrawingBuffer: true, premultipliedAlpha: true });
    if (!gl) throw new Error("no WebGL2");
    this.#gl = gl;
    const program = link(gl);
    gl.useProgram(program);
    for (const name of ["scale", "shift", "size", "round"]) this.#uniforms[name] = gl.getUniformLocation(program, name);
    this.#vertices = gl.createVertexArray();
    gl.bindVertexArray(this.#vertices);
    this.positions = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.positions);
    const position = gl.getAttribLocation(program, "position");
    gl.enableVertexAttribArray(position);
    gl.vertexAttribPointer(position, 2, gl.UNSIGNED_SHORT, true, 4, 0);
    this.colours = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.colours);
    const colour = gl.getAttribLocation(program, "colour");
    gl.enableVertexAttribArray(colour);
    gl.vertexAttribIPointer(colour, 1, gl.UNSIGNED_BYTE, 1, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    gl.clearColor(0, 0, 0, 0);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  // Pairs of x and y.
  setPositions(positions) {
    const gl = this.#gl;
    this.#count = positions.length / 2;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.positions);
    gl.bufferData(gl.ARRAY_BUFFER, positions, gl.STATIC_DRAW);
    this.setColours(new Uint8Array(this.#count));
  }

  // Whether a software renderer stands in for a GPU.
  isSlow() {
    if (this.#count <= FEW) return false;
    const gl = this.#gl;
    const pixel = new Uint8Array(4);
    const count = Math.min(this.#count, PROBE);
    let took = 0;
    for (let round = 0; round < 2; round += 1) {
      // The first one includes the preparation of the program.
      const start = performance.now();
      gl.drawArrays(gl.POINTS, 0, count);
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
      took = performance.now() - start;
    }
    return took / count > SLOW_MS;
  }

  // A byte per point.
  setColours(colours) {
    const gl = this.#gl;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.colours);
    gl.bufferData(gl.ARRAY_BUFFER, colours, gl.STATIC_DRAW);
  }

  // RGBA of each of the 256 bytes, with their alpha multiplied in.
  setPalette(colours) {
    const gl = this.#gl;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, colours);
  }

  // Draws the map as a view shows it: a sample while `isMoving`, then all.
  draw(view, isMoving) {
    const gl = this.#gl;
    cancelAnimationFrame(this.#timer);
    this.#fit();
    const { width, height } = this.#canvas;
    gl.viewport(0, 0, width, height);
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (!this.#count) return this.onDrawn();
    const pixels = devicePixelRatio || 1;
    const [x, y] = view.shift();
    const across = (2 * view.scale * pixels) / width;
    const up = (2 * view.scale * pixels) / height;
    gl.uniform2f(this.#uniforms.scale, across * SIDE, up * SIDE);
    gl.uniform2f(this.#uniforms.shift, (2 * x * pixels) / width - 1, 1 - (2 * y * pixels) / height);
    const size = Math.max(1, Math.round(view.pointSize(this.#count) * pixels));
    gl.uniform1f(this.#uniforms.size, size);
    gl.uniform1i(this.#uniforms.round, size > 2 ? 1 : 0);
    if (size > 2) gl.enable(gl.BLEND);
    else gl.disable(gl.BLEND); // edges of smaller points are not smooth, which software is slow at
    if (isMoving) this.#drawSlice(0, Math.min(this.#count, this.#affordable(FRAME_MS)));
    else this.#drawRest(0);
  }

  #drawRest(first) {
    const count = Math.min(this.#count - first, this.#affordable(SLICE_MS));
    this.#drawSlice(first, count);
    const next = first + count;
    if (next >= this.#count) this.onDrawn();
    else this.#timer = requestAnimationFrame(() => this.#drawRest(next));
  }

  #drawSlice(first, count) {
    const gl = this.#gl;
    const start = performance.now();
    gl.drawArrays(gl.POINTS, first, count);
    if (count < PROBE && this.#msPerPoint) return;
    // Reading a pixel waits until all are drawn.
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    this.#msPerPoint = (performance.now() - start) / count;
  }

  #affordable(ms) {
    return this.#msPerPoint ? Math.max(2000, Math.round(ms / this.#msPerPoint)) : PROBE;
  }

  #fit() {
    const scale = devicePixelRatio || 1;
    const [width, height] = [Math.round(this.#canvas.clientWidth * scale), Math.round(this.#canvas.clientHeight * scale)];
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
  }
}

function link(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  return program;
}
