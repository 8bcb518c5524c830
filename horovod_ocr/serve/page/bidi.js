"use strict";
// The Unicode bidirectional algorithm (UAX 9) for one line: sharding/format/script/bidi.py in JavaScript, name by name.
// A line is a list of units: a base and its marks each. `script` knows the classes of letters (script.js).

const bidi = (() => {
  const LTR = 0, RTL = 1; // the level of the paragraph
  const STRONG = { L: "L", R: "R", EN: "R", AN: "R" }; // as N0 to N2 count them
  const LEVELS = [{ L: 0, R: 1, EN: 2, AN: 2 }, { L: 2, R: 1, EN: 2, AN: 2 }]; // I1, I2
  const MOST_OPEN = 63; // brackets at once, BD16

  /** The embedding level of each unit of a line. base: LTR or RTL. */
  function levelsOf(units, base, script) {
    const letters = units.flatMap((unit) => [...unit]);
    const classes = letters.map(script.classOf);
    const seen = [...classes.keys()].filter((position) => classes[position] !== "BN");
    const original = seen.map((position) => classes[position]);
    const types = [...original];
    const outer = base ? "R" : "L";
    resolveWeak(types, outer);
    resolveBrackets(seen.map((position) => letters[position]), types, original, outer, script.closingOf);
    resolveNeutrals(types, outer);
    const levels = new Array(letters.length).fill(base);
    seen.forEach((position, place) => { levels[position] = LEVELS[base][types[place]]; });
    for (let place = seen.length - 1; place >= 0 && original[place] === "WS"; place--) levels[seen[place]] = base; // L1
    let at = 0;
    return units.map((unit) => {
      const level = levels[at];
      at += [...unit].length;
      return level;
    });
  }

  /** L2: for each position from left to right, which of the units with these levels is there. */
  function visualPositions(levels) {
    const steps = [];
    for (let least = Math.max(0, ...levels); least > 0; least--) steps.push(least);
    return reverseRuns(levels, steps);
  }

  /** The inverse of visualPositions: of levels in visual order, which unit comes first, and so on. */
  function logicalPositions(levels) {
    const steps = [];
    for (let least = 1; least <= Math.max(0, ...levels); least++) steps.push(least);
    return reverseRuns(levels, steps);
  }

  /** Units in logical order -> in their order from left to right. */
  function visualOrder(units, base, script) {
    return visualPositions(levelsOf(units, base, script)).map((position) => units[position]);
  }

  /** W1 to W7. */
  function resolveWeak(types, outer) {
    let before = outer, strong = outer;
    types.forEach((given, position) => {
      const found = given === "NSM" ? before : given;
      before = found;
      if (found === "L" || found === "R" || found === "AL") strong = found;
      types[position] = found === "EN" && strong === "AL" ? "AN" : found;
    });
    types.forEach((found, position) => {
      if (found === "AL") {
        types[position] = "R";
      } else if ((found === "ES" || found === "CS") && position > 0 && position < types.length - 1) {
        const number = types[position - 1];
        if (number === types[position + 1] && (number === "EN" || (number === "AN" && found === "CS"))) {
          types[position] = number;
        }
      }
    });
    for (const [start, end] of runsOf(types, ["ET"])) {
      if (types[start - 1] === "EN" || types[end] === "EN") types.fill("EN", start, end);
    }
    strong = outer;
    types.forEach((found, position) => {
      if (found === "ES" || found === "ET" || found === "CS") types[position] = "ON";
      else if (found === "L" || found === "R") strong = found;
      else if (found === "EN" && strong === "L") types[position] = "L";
    });
  }

  /** N0: both brackets of a pair, and the marks on them, take a direction from what the pair holds. */
  function resolveBrackets(letters, types, original, outer, closingOf) {
    for (const [opening, closing] of positionsOfPairs(letters, types, closingOf)) {
      const inside = types.slice(opening + 1, closing).map((found) => STRONG[found]).filter(Boolean);
      if (!inside.length) continue;
      let direction = outer;
      if (!inside.includes(outer)) {
        const before = types.slice(0, opening).reverse().find((found) => found in STRONG);
        direction = before ? STRONG[before] : outer;
      }
      for (const bracket of [opening, closing]) {
        types[bracket] = direction;
        for (let mark = bracket + 1; mark < types.length && original[mark] === "NSM"; mark++) types[mark] = direction;
      }
    }
  }

  /** BD16: the positions of brackets that belong together, by the opening one. */
  function positionsOfPairs(letters, types, closingOf) {
    const closings = new Set(closingOf.values());
    const pairs = [], waiting = [];
    for (const [position, letter] of letters.entries()) {
      if (types[position] !== "ON") continue;
      if (closingOf.has(letter)) {
        if (waiting.length === MOST_OPEN) return [];
        waiting.push([closingOf.get(letter), position]);
      } else if (closings.has(letter)) {
        const depth = waiting.findLastIndex(([wanted]) => wanted === letter);
        if (depth >= 0) pairs.push([waiting.splice(depth)[0][1], position]);
      }
    }
    return pairs.sort((one, other) => one[0] - other[0]);
  }

  /** N1 and N2. */
  function resolveNeutrals(types, outer) {
    for (const [start, end] of runsOf(types, ["ON", "WS"])) {
      const before = start ? STRONG[types[start - 1]] : outer;
      const after = end < types.length ? STRONG[types[end]] : outer;
      types.fill(before === after ? before : outer, start, end);
    }
  }

  /** [start, end] of each run of the wanted types, found before anything is changed. */
  function runsOf(types, wanted) {
    const runs = [];
    let start = null;
    for (let position = 0; position <= types.length; position++) {
      if (position < types.length && wanted.includes(types[position])) {
        start ??= position;
      } else if (start !== null) {
        runs.push([start, position]);
        start = null;
      }
    }
    return runs;
  }

  /** Positions, in which each run of at least this level is reversed, for one level after the other. */
  function reverseRuns(levels, steps) {
    const order = [...levels.keys()];
    for (const least of steps) {
      let start = null;
      for (let end = 0; end <= order.length; end++) {
        const inside = end < order.length && levels[order[end]] >= least;
        if (inside && start === null) {
          start = end;
        } else if (!inside && start !== null) {
          order.splice(start, end - start, ...order.slice(start, end).reverse());
          start = null;
        }
      }
    }
    return order;
  }

  return { LTR, RTL, levelsOf, visualPositions, logicalPositions, visualOrder };
})();
