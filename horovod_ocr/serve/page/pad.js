"use strict";
// The drawing area: strokes of pens, fingers and mice, smoothed; the last ones can be taken back.

const pad = (() => {
  const WIDTH_PX = 13;

  /** onDone: called with the canvas of what was drawn, trimmed. Returns {open}. */
  function build(onDone) {
    const find = (id) => document.getElementById(id);
    const dialog = find("pad"), canvas = find("pad-canvas");
    const context = canvas.getContext("2d", { willReadFrequently: true });
    let strokes = [], current = null;

    function draw() {
      context.fillStyle = "#fff";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.lineWidth = WIDTH_PX;
      context.lineCap = context.lineJoin = "round";
      context.strokeStyle = "#111";
      for (const points of strokes) {
        context.beginPath();
        context.moveTo(...points[0]);
        if (points.length === 1) context.lineTo(points[0][0] + 0.1, points[0][1]); // a dot
        for (let place = 1; place < points.length; place++) {
          const [x, y] = points[place - 1], [nextX, nextY] = points[place];
          context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
        }
        context.stroke();
      }
      for (const id of ["pad-undo", "pad-clear", "pad-read"]) find(id).disabled = !strokes.length;
    }

    function pointOf(event) {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      return [((event.clientX - left) * canvas.width) / width, ((event.clientY - top) * canvas.height) / height];
    }

    canvas.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary || event.button) return;
      canvas.setPointerCapture(event.pointerId);
      current = [pointOf(event)];
      strokes.push(current);
      draw();
      event.preventDefault();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!current || !event.isPrimary) return;
      const found = event.getCoalescedEvents?.() ?? [];
      current.push(...(found.length ? found : [event]).map(pointOf));
      draw();
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { current = null; });

    find("pad-undo").addEventListener("click", () => { strokes.pop(); draw(); });
    find("pad-clear").addEventListener("click", () => { strokes = []; draw(); });
    find("pad-cancel").addEventListener("click", () => dialog.close());
    find("pad-read").addEventListener("click", () => {
      const drawn = picture.trimmed(canvas);
      dialog.close();
      strokes = [];
      if (drawn) onDone(drawn);
    });
    return { open() { draw(); dialog.showModal(); } };
  }

  return { build };
})();
