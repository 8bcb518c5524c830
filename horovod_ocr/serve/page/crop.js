"use strict";
// The frame over the picture that says which part to keep, by pointer and by keyboard. Sizes are in pixels of the picture.

const crop = (() => {
  const LEAST_PX = 4;

  /** onKeep: called with {left, top, width, height}; onLeave: when the frame is gone. */
  function build(onKeep, onLeave) {
    const find = (id) => document.getElementById(id);
    const layer = find("crop-layer"), box = find("crop-box");
    let size = [1, 1], part = null, from = null;

    function show() {
      const share = (value, of) => `${(100 * value) / of}%`;
      box.style.left = share(part.left, size[0]);
      box.style.top = share(part.top, size[1]);
      box.style.width = share(part.width, size[0]);
      box.style.height = share(part.height, size[1]);
      const text = `${part.width} by ${part.height} pixels, at ${part.left}, ${part.top}`;
      box.setAttribute("aria-label", `Part to keep: ${text}`);
    }

    function take(left, top, width, height) {
      width = Math.round(Math.min(Math.max(width, LEAST_PX), size[0]));
      height = Math.round(Math.min(Math.max(height, LEAST_PX), size[1]));
      left = Math.round(Math.min(Math.max(left, 0), size[0] - width));
      top = Math.round(Math.min(Math.max(top, 0), size[1] - height));
      part = { left, top, width, height };
      show();
    }

    function leave() {
      layer.hidden = true;
      part = from = null;
      onLeave();
    }

    function keep() {
      const kept = part;
      leave();
      onKeep(kept);
    }

    function pointOf(event) {
      const { left, top, width, height } = layer.getBoundingClientRect();
      const within = (value) => Math.min(1, Math.max(0, value));
      return [within((event.clientX - left) / width) * size[0], within((event.clientY - top) / height) * size[1]];
    }

    layer.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary || event.button) return;
      layer.setPointerCapture(event.pointerId);
      from = pointOf(event);
      event.preventDefault();
      box.focus();
    });
    layer.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [x, y] = pointOf(event);
      take(Math.min(x, from[0]), Math.min(y, from[1]), Math.abs(x - from[0]), Math.abs(y - from[1]));
    });
    for (const name of ["pointerup", "pointercancel"]) layer.addEventListener(name, () => { from = null; });

    box.addEventListener("keydown", (event) => {
      const step = Math.max(1, Math.round(Math.max(...size) / 100)) * (event.ctrlKey ? 5 : 1);
      const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (move) {
        const [x, y] = move.map((each) => each * step);
        if (event.shiftKey) take(part.left, part.top, part.width + x, part.height + y);
        else take(part.left + x, part.top + y, part.width, part.height);
      } else if (event.key === "Enter") {
        keep();
      } else if (event.key === "Escape") {
        leave();
      } else {
        return;
      }
      event.preventDefault();
      if (part) find("announcer").textContent = box.getAttribute("aria-label");
    });
    find("crop-apply").addEventListener("click", keep);
    find("crop-cancel").addEventListener("click", leave);

    return {
      get isOpen() { return !layer.hidden; },
      close() { if (!layer.hidden) leave(); },
      /** Over a picture of this size; all of it but a margin to begin with. */
      open(width, height) {
        size = [width, height];
        layer.hidden = false;
        take(width * 0.05, height * 0.05, width * 0.9, height * 0.9);
        box.focus();
      },
    };
  }

  return { build };
})();
