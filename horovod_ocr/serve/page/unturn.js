"use strict";
// From the order in the image back to the logical order, the inverse of bidi.visualOrder:
// sharding/format/script/unturn.py in JavaScript, name by name. The reasons are told there.

const unturn = (() => {
  const MOST_TRIED = 300; // of one line; without brackets far fewer are enough
  const MOST_PAIRS = 60;
  const OPEN = ["ES", "ET", "CS", "WS", "ON", "NSM", "BN"]; // their neighbours decide their level
  const ANCHORS = [["L"], ["R", "AL"]]; // in a line of this base, nothing but brackets reaches past them

  /** Units from left to right -> in logical order; turned as if they were in logical order if no label fits. */
  function searchLogicalOrder(units, base, script) {
    const turned = bidi.visualOrder(units, base, script);
    if (isSame(bidi.visualOrder(turned, base, script), units)) return turned;
    const starts = [levelsByIsland(units, base, script), ...firstGuesses(units, base, script)];
    const found = search(units, base, script, starts);
    return found === null ? turned : undone(units, found);
  }

  function isSame(one, other) {
    return one.length === other.length && one.every((each, position) => each === other[position]);
  }

  function classOfUnit(unit, script) {
    return script.classOf(firstOf(unit));
  }

  function firstOf(unit) {
    return String.fromCodePoint(unit.codePointAt(0));
  }

  function undone(units, levels) {
    return bidi.logicalPositions(levels).map((position) => units[position]);
  }

  /** The levels of units in logical order, in their order from left to right. */
  function levelsFromLeft(units, base, script) {
    const levels = bidi.levelsOf(units, base, script);
    return bidi.visualPositions(levels).map((position) => levels[position]);
  }

  /** Levels of which each island between two anchors is right by itself. */
  function levelsByIsland(units, base, script) {
    const levels = new Array(units.length).fill(base);
    const islands = neighbours(positionsWhere(units, (unit) => !ANCHORS[base].includes(classOfUnit(unit, script))));
    for (const island of islands) {
      const first = island[0], after = island.at(-1) + 1;
      // in a line from right to left, the letter before an island is on its right
      const line = units.slice(first, base === bidi.RTL ? after + 1 : after);
      const turned = bidi.visualOrder(line, base, script);
      let found = levelsFromLeft(turned, base, script);
      if (!isSame(bidi.visualOrder(turned, base, script), line)) {
        found = search(line, base, script, firstGuesses(line, base, script)) ?? found;
      }
      levels.splice(first, after - first, ...found.slice(0, after - first));
    }
    return levels;
  }

  function firstGuesses(units, base, script) {
    const guesses = [bidi.visualOrder(units, base, script), [...units].reverse(), [...units]];
    if (base === bidi.LTR) {
      guesses.unshift(...[["R", "AL", "EN", "AN"], ["R", "AL"]].map((ends) => spansTurned(units, ends, script)));
    }
    return guesses.map((guess) => levelsFromLeft(guess, base, script));
  }

  /** A line from left to right, in which each span of right to left is turned as if it were a line of its own. */
  function spansTurned(units, ends, script) {
    const turned = [...units];
    for (const island of neighbours(positionsWhere(units, (unit) => classOfUnit(unit, script) !== "L"))) {
      const strong = island.filter((position) => ends.includes(classOfUnit(units[position], script)));
      if (!strong.length) continue;
      const span = bidi.visualOrder(units.slice(strong[0], strong.at(-1) + 1), bidi.RTL, script);
      turned.splice(strong[0], span.length, ...span);
    }
    return turned;
  }

  /** Levels from left to right that are right; null if there are none among the first few hundred. */
  function search(units, base, script, starts) {
    const seen = new Set(), waiting = [];
    const changes = changesOf(units, base, script);
    let following = starts;
    for (;;) {
      for (const levels of following) {
        const key = levels.join();
        if (seen.has(key)) continue;
        if (seen.size === MOST_TRIED) return null;
        seen.add(key);
        const label = undone(units, levels);
        const result = bidi.visualOrder(label, base, script);
        const wrong = result.filter((each, position) => each !== units[position]).length;
        if (!wrong) return levels;
        waiting.push({ wrong, number: seen.size, levels, ledTo: levelsFromLeft(label, base, script) });
      }
      if (!waiting.length) return null;
      // those that put the most units at the right position are followed first, of equals the older one
      let next = 0;
      waiting.forEach((each, place) => {
        const best = waiting[next];
        if (each.wrong < best.wrong || (each.wrong === best.wrong && each.number < best.number)) next = place;
      });
      const [{ levels, ledTo }] = waiting.splice(next, 1);
      following = nextTo(levels, ledTo, changes);
    }
  }

  /** Levels to try after these: those that they have led to, at once or run by run, then everything that is open. */
  function* nextTo(levels, ledTo, changes) {
    yield ledTo;
    for (const run of neighbours(positionsWhere(levels, (level, position) => level !== ledTo[position]))) {
      const after = run.at(-1) + 1;
      yield [...levels.slice(0, run[0]), ...ledTo.slice(run[0], after), ...levels.slice(after)];
    }
    for (const [positions, level] of changes) {
      const changed = [...levels];
      for (const position of positions) changed[position] = level;
      yield changed;
    }
  }

  /** Everything that may be changed at once: runs of what is open, single units, and two brackets. */
  function changesOf(units, base, script) {
    const kinds = units.map((unit) => classOfUnit(unit, script));
    const isOpen = base === bidi.LTR ? [...OPEN, "EN"] : OPEN;
    const runs = neighbours(positionsWhere(kinds, (kind) => isOpen.includes(kind)));
    const brackets = new Set([...script.closingOf.keys(), ...script.closingOf.values()]);
    const found = positionsWhere(units, (unit) => brackets.has(firstOf(unit)));
    const pairs = found.flatMap((one, place) => found.slice(place + 1).map((other) => [one, other]));
    const singles = runs.filter((run) => run.length > 1).flat().map((position) => [position]);
    const together = [...runs, ...singles, ...pairs].slice(0, units.length + MOST_PAIRS);
    const levels = base === bidi.LTR ? [0, 1, 2] : [1, 2];
    return together.flatMap((positions) => levels.map((level) => [positions, level]));
  }

  function positionsWhere(values, isWanted) {
    return [...values.keys()].filter((position) => isWanted(values[position], position));
  }

  /** Ascending positions, as runs of neighbours. */
  function neighbours(positions) {
    const runs = [];
    for (const position of positions) {
      if (runs.length && runs.at(-1).at(-1) === position - 1) runs.at(-1).push(position);
      else runs.push([position]);
    }
    return runs;
  }

  return { searchLogicalOrder };
})();
