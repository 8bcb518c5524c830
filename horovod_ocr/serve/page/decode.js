"use strict";
// Scores of frames to readings: text/decode.py, align.py and beam.py in JavaScript.
// scores: {data: numbers (T, C) in rows, frames: T of them are not padding, outputs: C}. The blank is output 0.

const decode = (() => {
  const BLANK = 0;
  const BEAMS = 16; // texts that are followed at once
  const LEAST = 1e-4; // outputs of less probability in a frame are not followed

  function logProbabilities(scores, frame, temperature) {
    const row = scores.data.subarray(frame * scores.outputs, (frame + 1) * scores.outputs);
    let highest = -Infinity, sum = 0;
    for (const each of row) highest = Math.max(highest, each);
    for (const each of row) sum += Math.exp((each - highest) / temperature);
    const total = Math.log(sum);
    return Float64Array.from(row, (each) => (each - highest) / temperature - total);
  }

  function allLogs(scores, temperature) {
    return Array.from({ length: scores.frames }, (_, frame) => logProbabilities(scores, frame, temperature));
  }

  /** The best output of each frame; runs are merged, then blanks dropped. {ids, confidence} */
  function greedy(logs) {
    const ids = [], best = [];
    let before = -1;
    for (const row of logs) {
      let id = 0;
      for (let each = 1; each < row.length; each++) if (row[each] > row[id]) id = each;
      if (id !== before) {
        ids.push(id);
        best.push(row[id]);
      } else {
        best[best.length - 1] = Math.max(best.at(-1), row[id]);
      }
      before = id;
    }
    const places = [...ids.keys()].filter((place) => ids[place] !== BLANK);
    const confidence = Math.exp(places.reduce((sum, place) => sum + best[place], 0));
    return { ids: places.map((place) => ids[place]), confidence: places.length ? confidence : 0 };
  }

  /** L + 1 cuts of the frames: id i takes those from the i-th to the (i + 1)-th. The most probable cut, without blanks. */
  function alignIds(scores, ids) {
    const frames = scores.frames;
    const logs = Array.from({ length: frames }, (_, frame) => {
      const row = scores.data.subarray(frame * scores.outputs, (frame + 1) * scores.outputs);
      let highest = -Infinity, sum = 0;
      for (let each = 1; each < row.length; each++) highest = Math.max(highest, row[each]);
      for (let each = 1; each < row.length; each++) sum += Math.exp(row[each] - highest);
      return ids.map((id) => row[id] - highest - Math.log(sum));
    });
    let best = new Array(frames + 1).fill(-Infinity); // best[t]: of the letters so far, in the frames before t
    best[0] = 0;
    const starts = [];
    for (let letter = 0; letter < ids.length; letter++) {
      const next = new Array(frames + 1).fill(-Infinity), start = new Array(frames + 1).fill(0);
      let sum = 0, highest = -Infinity, from = 0;
      for (let t = 0; t < frames; t++) {
        const gain = best[t] - sum;
        if (gain >= highest) {
          highest = gain;
          from = t;
        }
        start[t] = from;
        sum += logs[t][letter];
        next[t + 1] = highest + sum;
      }
      starts.push(start);
      best = next;
    }
    const cuts = [frames];
    for (const start of starts.reverse()) cuts.push(start[cuts.at(-1) - 1]);
    return cuts.reverse();
  }

  /** Where each letter of a text is, in the order in which people read it: [{text, confidence, start, stop}]. */
  function alignText(scores, logs, text, script) {
    const letters = [...text];
    const order = script.readingPositions(text);
    const ids = order.map((position) => script.ids.get(letters[position]));
    if (!ids.length || ids.includes(undefined) || ids.length > scores.frames) return [];
    const cuts = alignIds(scores, ids);
    const best = ids.map((id, place) => {
      let found = -Infinity;
      for (let frame = cuts[place]; frame < cuts[place + 1]; frame++) found = Math.max(found, logs[frame][id]);
      return found;
    });
    const placeOf = [];
    order.forEach((position, place) => { placeOf[position] = place; });
    let at = 0;
    return script.unitsOf(text).map((unit) => {
      const places = [...unit].map(() => placeOf[at++]);
      const confidence = Math.exp(places.reduce((sum, place) => sum + best[place], 0));
      return { text: unit, confidence, start: cuts[Math.min(...places)], stop: cuts[Math.max(...places) + 1] };
    });
  }

  /** As tuples of Python: by the first id that differs, then by length. */
  function compareIds(one, other) {
    for (let place = 0; place < Math.min(one.length, other.length); place++) {
      if (one[place] !== other[place]) return one[place] - other[place];
    }
    return one.length - other.length;
  }

  function byProbability(one, other) {
    return other.blank + other.letter - (one.blank + one.letter) || compareIds(one.ids, other.ids);
  }

  /** Prefix beam search, text/beam.py in JavaScript: [{ids, blank, letter}], the probabilities by their last frame. */
  function beamSearch(logs) {
    let beams = [{ ids: [], blank: 1, letter: 0 }];
    for (const row of logs) {
      const followed = [...row.keys()].map((id) => [id, Math.exp(row[id])]).filter(([, share]) => share >= LEAST);
      const found = new Map();
      const reach = (ids) => {
        const key = ids.join();
        if (!found.has(key)) found.set(key, { ids, blank: 0, letter: 0 });
        return found.get(key);
      };
      for (const { ids, blank, letter } of beams) {
        for (const [id, share] of followed) {
          if (id === BLANK) {
            reach(ids).blank += (blank + letter) * share;
          } else if (id === ids.at(-1)) {
            reach(ids).letter += letter * share;
            reach([...ids, id]).letter += blank * share; // a blank parts two of the same letter
          } else {
            reach([...ids, id]).letter += (blank + letter) * share;
          }
        }
      }
      beams = [...found.values()].sort(byProbability).slice(0, BEAMS);
    }
    return beams;
  }

  /** What else the image may say, the most probable first: [{text, confidence}]. */
  function alternatives(logs, text, script, wanted) {
    const shares = new Map();
    for (const { ids, blank, letter } of beamSearch(logs)) {
      const other = script.decode(ids);
      shares.set(other, (shares.get(other) ?? 0) + blank + letter);
    }
    const others = [...shares].filter(([other]) => other && other !== text);
    return others.sort((one, other) => other[1] - one[1]).slice(0, wanted)
      .map(([other, share]) => ({ text: other, confidence: Math.min(1, share) }));
  }

  return { allLogs, greedy, alignText, alternatives };
})();
