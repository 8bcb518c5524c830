"use strict";
// One picture with its reading: the picture, a box for each letter, the text, other readings, what the model saw.

const result = (() => {
  const UNSURE = 0.6; // a letter below it is marked
  const MOST_CLASSES = 12;
  const LEAST_SHOWN = 0.0005; // of another reading
  const find = (id) => document.getElementById(id);

  /** Never 100 % or 0 % for what is not certain. */
  function percent(share) {
    if (share > 0.9949 && share < 1) return share > 0.999 ? "99.9 %" : `${Math.floor(share * 1000) / 10} %`;
    return share < 0.001 ? "< 0.1 %" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  }

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  /** A reading's text in its own script and direction. */
  function markScript(target, { direction, lang }) {
    target.dir = direction === "rtl" ? "rtl" : direction === "ltr" ? "ltr" : "auto";
    if (lang) target.lang = lang;
    else target.removeAttribute("lang");
  }

  function nameOf(letter) {
    return letter.trim() ? letter : "␣";
  }

  function showLetters(letters, script, size) {
    const list = find("letters"), boxes = find("boxes");
    markScript(list, script);
    list.replaceChildren();
    boxes.replaceChildren();
    const pairs = letters.map((letter) => {
      const button = element("button", "letter");
      button.type = "button";
      const sure = percent(letter.confidence);
      const shown = element("span", "glyph", nameOf(letter.text));
      markScript(shown, script);
      const bar = element("span", "level");
      bar.style.setProperty("--share", letter.confidence);
      const figure = element("span", "figure", sure);
      figure.dir = "ltr";
      button.append(shown, bar, figure);
      const item = element("li");
      item.append(button);
      list.append(item);
      const box = element("div", "box");
      const [left, top, right, bottom] = letter.box;
      box.style.left = `${(100 * left) / size[0]}%`;
      box.style.top = `${(100 * top) / size[1]}%`;
      box.style.width = `${(100 * (right - left)) / size[0]}%`;
      box.style.height = `${(100 * (bottom - top)) / size[1]}%`;
      box.title = `${nameOf(letter.text)} ${sure}`;
      boxes.append(box);
      for (const each of [button, box]) each.classList.toggle("unsure", letter.confidence < UNSURE);
      return [button, box];
    });
    // a letter's chars in the text, for the colour of the one that is pointed at
    let at = 0;
    pairs.forEach(([button, box], place) => {
      const start = at;
      at += letters[place].text.length;
      const range = [start, at];
      const mark = (isOn) => {
        for (const each of [button, box]) each.classList.toggle("pointed", isOn);
        colourText(isOn ? range : null);
      };
      for (const each of [button, box]) {
        each.addEventListener("pointerenter", () => mark(true));
        each.addEventListener("pointerleave", () => mark(false));
      }
      button.addEventListener("focus", () => mark(true));
      button.addEventListener("blur", () => mark(false));
    });
    find("letters-part").hidden = !letters.length;
  }

  /** Letters stay one text, so that they join; browsers without highlights show none. */
  function colourText(range) {
    if (!globalThis.CSS?.highlights) return;
    CSS.highlights.delete("letter");
    const text = find("reading").firstChild;
    if (!range || !text || range[1] > text.length) return;
    const coloured = new Range();
    coloured.setStart(text, range[0]);
    coloured.setEnd(text, range[1]);
    CSS.highlights.set("letter", new Highlight(coloured));
  }

  function showAlternatives(found, text, script) {
    const others = (found ?? []).filter((each) => each.text !== text && each.confidence >= LEAST_SHOWN);
    find("alternatives").replaceChildren(...others.map((each) => {
      const item = element("li");
      const shown = element("span", "other", each.text || "nothing");
      if (each.text) markScript(shown, script);
      item.append(shown, element("span", "quiet", percent(each.confidence)));
      return item;
    }));
    find("alternatives-part").hidden = !others.length;
  }

  function showClasses(probabilities) {
    const ranked = Object.entries(probabilities ?? {}).sort((one, other) => other[1] - one[1]);
    find("classes").replaceChildren(...ranked.slice(0, MOST_CLASSES).map(([name, share]) => {
      const item = element("li");
      const bar = element("span", "level");
      bar.style.setProperty("--share", share);
      const shown = element("span", "class-name", name);
      shown.dir = "auto";
      item.append(shown, bar, element("span", "figure", percent(share)));
      return item;
    }));
    find("classes-part").hidden = !ranked.length;
  }

  function showSeen(ready) {
    find("seen").hidden = !ready;
    if (!ready) return;
    const canvas = find("seen-picture");
    canvas.width = ready.width;
    canvas.height = ready.height;
    canvas.style.width = `${ready.width * 2}px`;
    const context = canvas.getContext("2d");
    const image = context.createImageData(ready.width, ready.height);
    for (let place = 0; place < ready.width * ready.height; place++) {
      for (let channel = 0; channel < 3; channel++) {
        image.data[place * 4 + channel] = ready.data[place * ready.channels + (ready.channels === 3 ? channel : 0)];
      }
      image.data[place * 4 + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    const padding = ready.width - ready.validWidth;
    const colour = ready.channels === 3 ? "in colour" : "grey";
    find("seen-text").textContent = `${ready.width} × ${ready.height} pixels, ${colour}`
      + (padding ? `; the last ${padding === 1 ? "column is" : `${padding} columns are`} padding` : "");
  }

  function showPicture(canvas) {
    const shown = find("picture");
    shown.width = canvas.width;
    shown.height = canvas.height;
    shown.getContext("2d").drawImage(canvas, 0, 0);
    // small words are enlarged, up to four times; the frame has the aspect of the picture, so boxes need percents only
    find("frame").style.setProperty("--aspect", canvas.width / canvas.height);
    find("frame").style.setProperty("--most-width", `${canvas.width * 4}px`);
  }

  /** item: see app.js. about: of the model. */
  function show(item, about) {
    const script = { direction: about?.direction, lang: about?.lang };
    const { reading, error } = item;
    find("detail-title").textContent = item.name;
    const text = find("reading");
    const isClass = reading && "class" in reading;
    text.textContent = reading ? (isClass ? reading.class : reading.text) || "Nothing to read" : "";
    text.classList.toggle("none", Boolean(reading && !isClass && !reading.text));
    text.classList.toggle("latin", Boolean(isClass));
    text.setAttribute("aria-busy", String(!reading && !error));
    if (isClass || !reading?.text) markScript(text, {});
    else markScript(text, script);
    text.hidden = Boolean(error);
    find("reading-error").textContent = error ?? "";
    find("reading-error").hidden = !error;
    find("confidence").hidden = !reading;
    if (reading) {
      find("confidence-bar").style.setProperty("--share", reading.confidence);
      find("confidence").classList.toggle("unsure", reading.confidence < UNSURE);
      find("confidence-text").textContent = `${percent(reading.confidence)} sure, ${Math.round(reading.ms)} ms`;
    }
    const size = reading ? [reading.width, reading.height] : [1, 1];
    showLetters(reading?.letters ?? [], script, size);
    showAlternatives(reading?.alternatives, reading?.text, script);
    showClasses(reading?.probabilities);
    showSeen(item.ready);
    find("picture-part").hidden = !item.canvas;
    if (item.canvas) showPicture(item.canvas);
    find("invert").setAttribute("aria-pressed", String(item.isInverted));
    find("angle").value = item.tilt;
    find("angle-text").textContent = `${item.tilt}°`;
    find("reset").disabled = !item.isChanged;
  }

  return { show, percent, markScript, element };
})();
