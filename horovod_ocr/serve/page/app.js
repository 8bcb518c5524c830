"use strict";
// The page: pictures come in, wait in a list, are read one after the other, and one of them is shown.
//
// An item: {id, name, file, base, tilt, isInverted, isChanged, canvas, reading, ready, error, version, row, thumb}.
// base: the picture before tilt and inversion; canvas: as it is read; version: rises with each change.

(() => {
  const find = (id) => document.getElementById(id);
  const LARGE_PX = 500_000; // a picture with more is not kept while another one is looked at
  const items = [];
  let reader = null, about = null, chosen = null, running = 0, count = 0;

  // ---- the model ----

  async function begin() {
    const isAlone = typeof standalone !== "undefined";
    find("place").hidden = false;
    find("place").textContent = isAlone ? "Nothing leaves this device" : "Read by the server of this page";
    try {
      if (isAlone) {
        const local = await recognizer.load(standalone, ort);
        reader = { together: 1, read: (canvas) => local.read(picture.dataOf(canvas), 4) };
        about = { ...local.about, lang: local.about.script?.lang };
      } else {
        const served = server.connect(askForToken);
        about = await served.about();
        reader = served;
      }
    } catch (error) {
      notify(isAlone ? `The model cannot be loaded (${error.message}). Use a current browser.` : error.message);
      find("model-line").textContent = "No model";
      return;
    }
    about.lang ??= languageOf(about);
    describeModel();
    document.documentElement.dataset.ready = "true";
    work();
  }

  /** A server names no language: by letters that only one of them has. */
  function languageOf({ letters = [], direction }) {
    const has = (letter) => letters.includes(letter);
    if (direction !== "rtl") return null;
    if (has("ے") || has("ٹ")) return "ur";
    return has("گ") && has("پ") ? "fa" : has("ا") ? "ar" : null;
  }

  function describeModel() {
    if (about.kind === "classes") {
      document.title = find("title").textContent = "Sort pictures";
      find("drop-title").textContent = "Drop or choose pictures";
      find("drop-text").textContent = "Several at once are sorted one after the other.";
    }
    const kinds = about.kind === "classes" ? `${about.classes?.length} classes` : `${about.letters?.length} letters`;
    const name = about.name || "a model without a name";
    find("model-line").textContent = `${name}: ${kinds}, ${about.precision}`;
    const { word_accuracy: words, accuracy, cer, samples } = about.scores?.[about.precision] ?? about.scores ?? {};
    const share = (value) => `${(100 * value).toFixed(1)} %`;
    const shown = [
      words === undefined || about.kind === "classes" ? null : `${share(words)} of the words right`,
      accuracy === undefined || about.kind !== "classes" ? null : `${share(accuracy)} of the pictures right`,
      cer === undefined || about.kind === "classes" ? null : `${share(cer)} of the letters wrong`,
    ].filter(Boolean);
    const measured = samples ? `, measured on ${samples.toLocaleString("en")} pictures like those it was trained on` : "";
    find("facts").textContent = shown.length ? `This model: ${shown.join(", ")}${measured}.` : "";
  }

  function notify(sentence) {
    find("notice").textContent = sentence;
    find("notice").hidden = !sentence;
  }

  function askForToken() {
    const dialog = find("token"), field = find("token-field");
    field.value = "";
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
      find("token-cancel").onclick = () => dialog.close();
      dialog.addEventListener("close", () => {
        resolve(dialog.returnValue === "given" && field.value ? field.value.trim() : null);
      }, { once: true });
    });
  }

  // ---- pictures come in ----

  function addFiles(files) {
    const added = [...files].map((file) => addItem(file.name || "Pasted picture", file));
    if (added.length) choose(added[0]);
    showQueue();
    work();
  }

  function addCanvas(name, canvas) {
    const item = addItem(name, null);
    setBase(item, canvas);
    choose(item);
    work();
  }

  function addItem(name, file) {
    const item = {
      id: ++count, name, file, base: null, original: null, tilt: 0, isInverted: false, isChanged: false, canvas: null,
      reading: null, ready: null, error: null, isRunning: false, version: 0,
    };
    item.row = rowOf(item);
    items.push(item);
    find("items").append(item.row);
    showRow(item);
    return item;
  }

  function setBase(item, canvas) {
    item.base = item.original = item.canvas = canvas;
    showThumbnail(item);
    if (item === chosen) show();
  }

  /** Photographs take 50 MB each: of those that are not looked at, only the files are kept. */
  function release(item) {
    if (!item?.base || item === chosen || !item.file || item.isChanged || item.isRunning) return;
    if (item.base.width * item.base.height > LARGE_PX) {
      item.base = item.original = item.canvas = null;
    }
  }

  /** The picture of a released item again. */
  async function restore(item) {
    if (item.base || !item.reading) return;
    try {
      const canvas = await picture.decodeFile(item.file);
      if (!item.base) setBase(item, canvas);
    } catch (error) {
      if (!error.isUnknown) notify(error.message); // else it was never shown
    }
  }

  // ---- the list ----

  function rowOf(item) {
    const row = result.element("li", "item");
    const button = result.element("button", "item-button");
    button.type = "button";
    const texts = result.element("span", "item-texts");
    const text = result.element("span", "item-text"), name = result.element("span", "item-name quiet", item.name);
    texts.append(text, name);
    button.append(result.element("span", "thumb"), texts, result.element("span", "item-share figure"));
    button.addEventListener("click", () => choose(item));
    const remove = result.element("button", "remove", "×");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove ${item.name}`);
    remove.addEventListener("click", () => removeItem(item));
    row.append(button, remove);
    row.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Delete") removeItem(item);
      else if (step) items[items.indexOf(item) + step]?.row.querySelector(".item-button").focus();
      else return;
      event.preventDefault();
    });
    return row;
  }

  function showThumbnail(item) {
    item.row.querySelector(".thumb").replaceChildren(picture.thumbnail(item.canvas, 112, 56));
  }

  function showRow(item) {
    const text = item.row.querySelector(".item-text"), share = item.row.querySelector(".item-share");
    const { reading, error } = item;
    text.classList.toggle("failed", Boolean(error));
    text.textContent = error ? "Not read" : reading ? (reading.class ?? reading.text) || "Nothing to read"
      : item.isRunning ? "Reading…" : "Waiting";
    text.classList.toggle("waiting", !reading && !error);
    result.markScript(text, reading?.text ? about : {});
    share.textContent = reading ? result.percent(reading.confidence) : "";
    item.row.querySelector(".item-button").setAttribute("aria-current", String(item === chosen));
  }

  function showQueue() {
    const done = items.filter((item) => item.reading || item.error).length;
    const failed = items.filter((item) => item.error).length;
    document.body.classList.toggle("has-items", items.length > 0);
    find("queue").hidden = !items.length;
    find("detail").hidden = !chosen;
    find("progress").max = items.length || 1;
    find("progress").value = done;
    find("progress").classList.toggle("done", done === items.length);
    find("progress-text").textContent = `${done} of ${items.length} read` + (failed ? `, ${failed} failed` : "");
    find("csv").disabled = !done;
  }

  function removeItem(item) {
    const place = items.indexOf(item);
    items.splice(place, 1);
    item.row.remove();
    item.version++;
    const next = items[place] ?? items[place - 1] ?? null;
    if (item === chosen) choose(next);
    showQueue();
    (next?.row.querySelector(".item-button") ?? find("choose")).focus();
  }

  function choose(item) {
    cropper.close();
    const before = chosen;
    chosen = item;
    release(before);
    if (before) showRow(before);
    showQueue();
    if (!item) return;
    showRow(item);
    show();
    restore(item);
    if (matchMedia("(max-width: 59.99rem)").matches) { // the reading is below the list
      const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
      find("detail").scrollIntoView({ behavior, block: "start" });
    }
  }

  function show() {
    result.show(chosen, about);
  }

  // ---- reading ----

  function work() {
    if (!reader) return;
    while (running < reader.together) {
      const item = items.find((each) => !each.reading && !each.error && !each.isRunning);
      if (!item) return;
      running++;
      item.isRunning = true;
      showRow(item);
      read(item).finally(() => {
        running--;
        item.isRunning = false;
        release(item);
        showRow(item);
        showQueue();
        if (item === chosen) show();
        const isDone = !running && items.every((each) => each.reading || each.error);
        if (isDone && items.length > 1) find("announcer").append(` All ${items.length} pictures are read.`);
        setTimeout(work); // the browser draws in between
      });
    }
  }

  async function read(item) {
    const { version } = item;
    try {
      if (!item.base) await decodeItem(item);
      const reading = await reader.read(item.canvas, item.isChanged ? null : item.file);
      if (version !== item.version) return; // the picture was changed meanwhile: it is read again
      item.ready = reading.ready ?? null;
      if (!item.ready && item.canvas && about.geometry) {
        item.ready = pixels.prepare(picture.dataOf(item.canvas), about.geometry);
      }
      item.reading = reading;
      if (item === chosen) announce(item);
    } catch (error) {
      if (version !== item.version) return;
      item.error = error.message;
      if (item === chosen) announce(item);
    }
  }

  /** A server may know formats that the browser does not, as TIFF: such a picture is read, but not shown. */
  async function decodeItem(item) {
    try {
      setBase(item, await picture.decodeFile(item.file));
    } catch (error) {
      if (!error.isUnknown || !reader.takesAnyFile) throw error;
    }
  }

  /** For screen readers: what was read, in its own language, and how sure it is. */
  function announce({ name, reading, error }) {
    const text = reading && (reading.class ?? reading.text);
    const spoken = result.element("span", "", error ?? (text || "nothing to read"));
    result.markScript(spoken, reading?.text ? about : {});
    find("announcer").replaceChildren(`${name}: `, spoken, text ? `, ${result.percent(reading.confidence)} sure` : "");
  }

  // ---- changes of the picture ----

  function change(values, isFresh = false) {
    const item = chosen;
    if (!item?.base) return;
    Object.assign(item, { isChanged: !isFresh, ...values, reading: null, ready: null, error: null });
    item.version++;
    item.canvas = picture.edited(item);
    showThumbnail(item);
    showRow(item);
    showQueue();
    show();
    work();
  }

  /** Crop and turn start from what is seen, without the inversion, which stays a switch. */
  function bake(edit) {
    if (!chosen?.base) return;
    const straight = picture.edited({ ...chosen, isInverted: false });
    change({ base: edit(straight), tilt: 0 });
  }

  const cropper = crop.build(
    (part) => bake((canvas) => picture.cropped(canvas, part)),
    () => {
      find("crop-tools").hidden = true;
      find("tools").hidden = false;
      find("boxes").hidden = false;
      find("crop").focus();
    },
  );
  find("crop").addEventListener("click", () => {
    find("tools").hidden = true;
    find("boxes").hidden = true;
    find("crop-tools").hidden = false;
    cropper.open(chosen.canvas.width, chosen.canvas.height);
  });
  find("turn-left").addEventListener("click", () => bake((canvas) => picture.turned(canvas, -90)));
  find("turn-right").addEventListener("click", () => bake((canvas) => picture.turned(canvas, 90)));
  find("invert").addEventListener("click", () => change({ isInverted: !chosen.isInverted }));
  find("reset").addEventListener("click", () => {
    change({ base: chosen.original, tilt: 0, isInverted: false }, true);
    find("invert").focus(); // the button that was pressed is disabled now
  });
  let waiting = 0;
  find("angle").addEventListener("input", () => {
    find("angle-text").textContent = `${find("angle").value}°`;
    clearTimeout(waiting);
    waiting = setTimeout(() => change({ tilt: Number(find("angle").value) }), 120);
  });

  // ---- ways in ----

  const drawing = pad.build((canvas) => addCanvas("Drawing", canvas));
  const photographing = camera.build((canvas) => addCanvas("Photograph", canvas), () => find("capture").click());
  find("choose").addEventListener("click", () => find("files").click());
  find("draw").addEventListener("click", () => drawing.open());
  find("photograph").addEventListener("click", () => photographing.open());
  for (const id of ["files", "capture"]) {
    find(id).addEventListener("change", () => {
      addFiles(find(id).files);
      find(id).value = "";
    });
  }

  find("paste").addEventListener("click", async () => {
    try {
      const found = [];
      for (const item of await navigator.clipboard.read()) {
        const type = item.types.find((each) => each.startsWith("image/"));
        if (type) found.push(await item.getType(type));
      }
      notify(found.length ? "" : "The clipboard holds no picture.");
      addFiles(found);
    } catch {
      notify("The browser does not let this page look into the clipboard; press Ctrl+V (on a Mac ⌘V) instead.");
    }
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    notify("");
    addFiles(files);
  });

  let depth = 0; // of elements that the drag is over
  const mark = (isOver) => document.body.classList.toggle("dragged", isOver);
  document.addEventListener("dragenter", (event) => { event.preventDefault(); mark(++depth > 0); });
  document.addEventListener("dragleave", () => mark(--depth > 0));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(Boolean(depth = 0));
    const files = [...(event.dataTransfer?.files ?? [])];
    notify(files.length ? "" : "Only files can be dropped here; a picture of another page can be copied and pasted.");
    addFiles(files);
  });

  // ---- ways out ----

  find("copy").addEventListener("click", async () => {
    const text = chosen.reading.class ?? chosen.reading.text;
    try {
      await navigator.clipboard.writeText(text);
      find("copy").textContent = "Copied";
      setTimeout(() => { find("copy").textContent = "Copy"; }, 1500);
    } catch {
      getSelection().selectAllChildren(find("reading"));
      notify("The browser does not let this page write to the clipboard; the text is selected, press Ctrl+C.");
    }
  });
  find("csv").addEventListener("click", () => {
    const rows = items.filter((item) => item.reading || item.error).map(({ name, reading, error }) => [
      name, reading ? reading.class ?? reading.text : "", reading ? reading.confidence.toFixed(4) : "",
      (reading?.alternatives ?? []).map((each) => each.text).filter((text) => text !== reading.text).join(" | "),
      error,
    ]);
    const heads = ["file", about.kind === "classes" ? "class" : "text", "confidence", "other readings", "error"];
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv.write([heads, ...rows])], { type: "text/csv" }));
    link.download = "readings.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  find("clear-all").addEventListener("click", () => {
    for (const item of items.splice(0)) {
      item.version++;
      item.row.remove();
    }
    choose(null);
    find("choose").focus();
  });

  begin();
})();
