"use strict";
// Pixels as the model takes them: data/image.py and recognizer/images.py in JavaScript. Grey levels are rows of bytes,
// 255 white; `picture` is an ImageData of the browser without transparency.

const pixels = (() => {
  const WIDTH_STEP_PX = 8;
  const RUN_STEP_PX = 32; // padding beyond is left out
  const INK_SHARE = 0.35; // of the contrast between the background and what differs most from it
  const BITS = 22; // of a weight, as in Pillow's Resample.c

  /** Python's round(): halves go to the even number. */
  function roundEven(value) {
    const floor = Math.floor(value), rest = value - floor;
    return rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
  }

  function roundUp(width) {
    return Math.max(WIDTH_STEP_PX, Math.ceil(width / WIDTH_STEP_PX - 1e-9) * WIDTH_STEP_PX);
  }

  function scaledWidth(geometry, width, height) {
    return geometry.width || Math.max(1, roundEven((width * geometry.height) / height));
  }

  /** The width of an image of this size, with padding. */
  function paddedWidth(geometry, width, height) {
    if (geometry.width) return geometry.width;
    const edge = geometry.bucket_edges.find((each) => each >= width / height);
    return roundUp(edge === undefined ? scaledWidth(geometry, width, height) : edge * geometry.height);
  }

  /** Grey as Pillow's "L", or three planes: a list of planes of bytes. */
  function planesOf(picture, channels) {
    const { data } = picture, count = picture.width * picture.height;
    const planes = Array.from({ length: channels }, () => new Uint8Array(count));
    for (let place = 0, at = 0; place < count; place++, at += 4) {
      if (channels === 1) {
        planes[0][place] = (19595 * data[at] + 38470 * data[at + 1] + 7471 * data[at + 2] + 0x8000) >> 16;
      } else {
        for (let channel = 0; channel < 3; channel++) planes[channel][place] = data[at + channel];
      }
    }
    return planes;
  }

  /** For each output of one axis: the first input, and the weights of the inputs from there; as Pillow's BILINEAR. */
  function weightsOf(inputs, outputs) {
    const scale = inputs / outputs, reach = Math.max(scale, 1);
    return Array.from({ length: outputs }, (_, place) => {
      const centre = (place + 0.5) * scale;
      const first = Math.max(0, Math.trunc(centre - reach + 0.5));
      const after = Math.min(inputs, Math.trunc(centre + reach + 0.5));
      const found = [];
      for (let at = first; at < after; at++) found.push(Math.max(0, 1 - Math.abs((at - centre + 0.5) / reach)));
      const sum = found.reduce((total, each) => total + each, 0);
      return [first, found.map((each) => Math.trunc(0.5 + (each / sum) * (1 << BITS)))];
    });
  }

  function resizeAcross(plane, width, height, newWidth) {
    if (newWidth === width) return plane;
    const resized = new Uint8Array(newWidth * height);
    weightsOf(width, newWidth).forEach(([first, weights], column) => {
      for (let row = 0; row < height; row++) {
        let sum = 1 << (BITS - 1), at = row * width + first;
        for (let each = 0; each < weights.length; each++) sum += plane[at++] * weights[each];
        resized[row * newWidth + column] = Math.min(255, sum >> BITS);
      }
    });
    return resized;
  }

  function resizeDown(plane, width, height, newHeight) {
    if (newHeight === height) return plane;
    const resized = new Uint8Array(width * newHeight);
    weightsOf(height, newHeight).forEach(([first, weights], row) => {
      for (let column = 0; column < width; column++) {
        let sum = 1 << (BITS - 1), at = first * width + column;
        for (let each = 0; each < weights.length; each++, at += width) sum += plane[at] * weights[each];
        resized[row * width + column] = Math.min(255, sum >> BITS);
      }
    });
    return resized;
  }

  /** One plane of bytes in another size, as Pillow 13 resizes it; other versions differ by one level at most. */
  function resize(plane, width, height, newWidth, newHeight) {
    const isDownFirst = newHeight < height && height - newHeight > 2 * (width - newWidth); // rounding depends on it
    if (isDownFirst) return resizeAcross(resizeDown(plane, width, height, newHeight), width, newHeight, newWidth);
    return resizeDown(resizeAcross(plane, width, height, newWidth), newWidth, height, newHeight);
  }

  /** The grey level to pad with: the median of the right edge. */
  function backgroundOf(plane, width, height) {
    const edge = Uint8Array.from({ length: height }, (_, row) => plane[row * width + width - 1]).sort();
    const middle = height >> 1;
    return height % 2 ? edge[middle] : (edge[middle - 1] + edge[middle]) >> 1;
  }

  /**
   * A picture ready for the model: {data: bytes (H, W, C), width, height, channels, validWidth, background}, and the
   * size of the picture as sizePx.
   */
  function prepare(picture, geometry) {
    const { width, height } = picture, channels = geometry.channels || 1;
    const bucket = paddedWidth(geometry, width, height);
    const valid = Math.min(scaledWidth(geometry, width, height), bucket);
    const padded = geometry.width || Math.min(bucket, Math.ceil(valid / RUN_STEP_PX) * RUN_STEP_PX);
    const planes = planesOf(picture, channels).map((each) => resize(each, width, height, valid, geometry.height));
    const background = backgroundOf(planes[0], valid, geometry.height);
    const data = new Uint8Array(geometry.height * padded * channels).fill(background);
    planes.forEach((plane, channel) => {
      for (let row = 0; row < geometry.height; row++) {
        for (let column = 0; column < valid; column++) {
          data[(row * padded + column) * channels + channel] = plane[row * valid + column];
        }
      }
    });
    const sizePx = [width, height];
    return { data, width: padded, height: geometry.height, channels, validWidth: valid, background, sizePx };
  }

  /** Where the columns that are not padding have ink: (column, row) -> boolean. Of grey images. */
  function inkOf(ready) {
    const background = backgroundOf(ready.data, ready.width, ready.height);
    let most = 0;
    const distance = (column, row) => Math.abs(ready.data[row * ready.width + column] - background);
    for (let row = 0; row < ready.height; row++) {
      for (let column = 0; column < ready.validWidth; column++) most = Math.max(most, distance(column, row));
    }
    const least = Math.max(1, most * INK_SHARE);
    return (column, row) => distance(column, row) > least;
  }

  /** [left, top, right, bottom] of the ink in some columns, from top to bottom if there is none. */
  function boxOfColumns(hasInk, width, height, start, stop) {
    start = Math.min(start, width - 1);
    stop = Math.min(stop, width);
    let [left, top, right, bottom] = [Infinity, Infinity, -1, -1];
    for (let column = start; column < stop; column++) {
      for (let row = 0; row < height; row++) {
        if (!hasInk(column, row)) continue;
        left = Math.min(left, column);
        top = Math.min(top, row);
        right = Math.max(right, column + 1);
        bottom = Math.max(bottom, row + 1);
      }
    }
    return right < 0 ? [start, 0, stop, height] : [left, top, right, bottom];
  }

  return { prepare, resize, planesOf, paddedWidth, scaledWidth, inkOf, boxOfColumns };
})();
