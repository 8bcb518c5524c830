"use strict";
// A picture as the browser decodes it, and what a person changes of it. Each change makes a new canvas.

const picture = (() => {
  const MOST_PIXELS = 50_000_000; // a canvas takes 4 bytes for each
  const MOST_ASPECT = 64; // as LIMITS of recognizer/images.py

  function canvasOf(width, height, colour) {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true }); // pixels stay out of the graphics card
    if (colour) {
      context.fillStyle = colour;
      context.fillRect(0, 0, width, height);
    }
    return [canvas, context];
  }

  /**
   * A file as a canvas, upright, on white where it is transparent. Error with a sentence if it cannot be; isUnknown: the
   * browser does not know the format, or the file is damaged.
   */
  async function decodeFile(file) {
    if (!file.size) throw new Error("The file is empty.");
    let bitmap;
    try {
      // colour profiles are not applied in training either
      bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    } catch {
      const sentence = "This browser cannot open the file as a picture; save it as PNG or JPEG.";
      throw Object.assign(new Error(sentence), { isUnknown: true });
    }
    const { width, height } = bitmap;
    try {
      if (width * height > MOST_PIXELS) {
        throw new Error(`${width} × ${height} pixels are too many; cut out the word or make the picture smaller.`);
      }
      if (width > MOST_ASPECT * height) {
        throw new Error(`${width} × ${height} pixels are too wide for one word; cut out the word.`);
      }
      const [canvas, context] = canvasOf(width, height, "#fff");
      context.drawImage(bitmap, 0, 0);
      return canvas;
    } finally {
      bitmap.close();
    }
  }

  function dataOf(canvas) {
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  }

  /** The colour of the picture's border, which a tilted picture is laid on: the median of each channel. */
  function borderColour(canvas) {
    const { data, width, height } = dataOf(canvas);
    const places = [];
    for (let column = 0; column < width; column++) places.push(column, (height - 1) * width + column);
    for (let row = 0; row < height; row++) places.push(row * width, row * width + width - 1);
    const median = (channel) => places.map((place) => data[place * 4 + channel]).sort((a, b) => a - b)[places.length >> 1];
    return `rgb(${median(0)} ${median(1)} ${median(2)})`;
  }

  /** Turned clockwise by any angle in degrees, as large as it must be to hold everything. */
  function turned(canvas, degrees) {
    const angle = (degrees * Math.PI) / 180, { width, height } = canvas;
    const cos = Math.abs(Math.cos(angle)), sin = Math.abs(Math.sin(angle));
    const size = [Math.round(width * cos + height * sin), Math.round(width * sin + height * cos)];
    const [target, context] = canvasOf(...size, degrees % 90 ? borderColour(canvas) : "#fff");
    context.translate(size[0] / 2, size[1] / 2);
    context.rotate(angle);
    context.imageSmoothingEnabled = Boolean(degrees % 90);
    context.imageSmoothingQuality = "high";
    context.drawImage(canvas, -width / 2, -height / 2);
    return target;
  }

  function cropped(canvas, { left, top, width, height }) {
    const [target, context] = canvasOf(width, height, "#fff");
    context.drawImage(canvas, left, top, width, height, 0, 0, width, height);
    return target;
  }

  function inverted(canvas) {
    const pixels = dataOf(canvas);
    for (let at = 0; at < pixels.data.length; at += 4) {
      for (let channel = 0; channel < 3; channel++) pixels.data[at + channel] ^= 255;
    }
    const [target, context] = canvasOf(canvas.width, canvas.height);
    context.putImageData(pixels, 0, 0);
    return target;
  }

  /** A picture as it is read: {base: canvas, tilt: degrees, isInverted}. */
  function edited({ base, tilt, isInverted }) {
    const straight = tilt ? turned(base, tilt) : base;
    return isInverted ? inverted(straight) : straight;
  }

  /** What is drawn on white, with a margin around it; null if nothing is. */
  function trimmed(canvas) {
    const { data, width, height } = dataOf(canvas);
    let [left, top, right, bottom] = [width, height, -1, -1];
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        if (data[(row * width + column) * 4] > 200) continue;
        left = Math.min(left, column);
        right = Math.max(right, column);
        top = Math.min(top, row);
        bottom = Math.max(bottom, row);
      }
    }
    if (right < 0) return null;
    const margin = Math.round(Math.max(12, (bottom - top) * 0.15));
    const [target, context] = canvasOf(right - left + 1 + 2 * margin, bottom - top + 1 + 2 * margin, "#fff");
    context.drawImage(canvas, margin - left, margin - top);
    return target;
  }

  /** A canvas scaled to fit, for the list. */
  function thumbnail(canvas, width, height) {
    const scale = Math.min(width / canvas.width, height / canvas.height, 1);
    const size = [Math.max(1, Math.round(canvas.width * scale)), Math.max(1, Math.round(canvas.height * scale))];
    const [target, context] = canvasOf(...size, "#fff");
    context.imageSmoothingQuality = "high";
    context.drawImage(canvas, 0, 0, ...size);
    return target;
  }

  function pngOf(canvas) {
    return new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("The picture is too large."))), "image/png");
    });
  }

  return { decodeFile, dataOf, turned, cropped, edited, trimmed, thumbnail, pngOf };
})();
