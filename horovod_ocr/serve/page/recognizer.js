"use strict";
// The exported model in the browser. `horovod-ocr page` puts onnxruntime-web, the model and the tables of its script
// beside the page: page/runtime.js, page/wasm.js and page/model.js define `ort` and `standalone`.

const recognizer = (() => {
  async function unpack(base64) {
    const packed = Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  /** parts: {about, model, loader, wasm}: plain values, and gzipped bytes as base64. */
  async function load(parts, runtime) {
    runtime.env.wasm.numThreads = 1; // more need headers that a file: has not
    runtime.env.wasm.wasmBinary = await unpack(parts.wasm);
    const loader = await unpack(parts.loader);
    const url = URL.createObjectURL(new Blob([loader], { type: "text/javascript" }));
    runtime.env.wasm.wasmPaths = { mjs: url };
    const model = await unpack(parts.model);
    const options = { executionProviders: ["wasm"], logSeverityLevel: 3 }; // errors
    const session = await runtime.InferenceSession.create(model, options);
    URL.revokeObjectURL(url);
    parts.wasm = parts.loader = parts.model = ""; // their text is 6 MB
    const logitsOf = async (ready) => {
      const shape = [1, ready.height, ready.width, ready.channels];
      const { logits } = await session.run({ images: new runtime.Tensor("uint8", ready.data, shape) });
      return logits;
    };
    const self = build(parts.about, logitsOf);
    // the first run of each width is slower: it makes the buffers
    await self.read({ width: 3, height: 1, data: new Uint8ClampedArray(12).fill(255) });
    return self;
  }

  /** A recogniser of `about` whose model is a function: ready image -> {data, dims}. */
  function build(about, logitsOf) {
    const read = about.kind === "classes" ? readClass : readWord;
    const letters = about.kind === "classes" ? null : script.buildScript(about.script);

    async function readClass(ready) {
      const { data } = await logitsOf(ready);
      const [logs] = decode.allLogs({ data, frames: 1, outputs: about.classes.length }, about.temperature);
      const values = [...logs].map(Math.exp);
      const best = values.indexOf(Math.max(...values));
      const probabilities = Object.fromEntries(about.classes.map((name, place) => [name, values[place]]));
      return { class: about.classes[best], confidence: values[best], probabilities };
    }

    async function readWord(ready, wanted) {
      const { data, dims } = await logitsOf(ready);
      const frames = Math.min(dims[0], Math.ceil(ready.validWidth / about.frame_px));
      const scores = { data, frames, outputs: dims[2] };
      const logs = decode.allLogs(scores, about.temperature);
      const { ids, confidence } = decode.greedy(logs);
      const text = letters.decode(ids);
      const spans = decode.alignText(scores, logs, text, letters);
      const others = decode.alternatives(logs, text, letters, wanted);
      return { text, confidence, letters: located(spans, ready), alternatives: others };
    }

    function located(spans, ready) {
      if (!spans.length) return [];
      const hasInk = pixels.inkOf(ready), { validWidth, height } = ready;
      const across = ready.sizePx[0] / validWidth, down = ready.sizePx[1] / height;
      return spans.map(({ text, confidence, start, stop }) => {
        const columns = [start * about.frame_px, stop * about.frame_px];
        const [left, top, right, bottom] = pixels.boxOfColumns(hasInk, validWidth, height, ...columns);
        return { text, confidence, box: [left * across, top * down, right * across, bottom * down] };
      });
    }

    return {
      about,
      /** picture: an ImageData without transparency. The answer of POST /v1/read, and what the model saw as `ready`. */
      async read(picture, wanted = 3) {
        const started = performance.now();
        const ready = pixels.prepare(picture, about.geometry);
        const reading = await read(ready, wanted);
        const ms = performance.now() - started;
        return { ...reading, width: picture.width, height: picture.height, ms, ready };
      },
    };
  }

  return { load, build };
})();
