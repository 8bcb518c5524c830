"use strict";
// What text/charset.py and sharding/format/script know of a script, from the tables that `horovod-ocr page` wrote:
// JavaScript has no classes of UAX 9 of its own.

const script = (() => {
  // what Python's str.split() takes for white space
  const WHITE_SPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;

  /**
   * table: {direction, letters, classes: {class: letters}, bound: letters, rtl: letters, neutral: letters,
   * brackets: {opening: closing}, folds: {before, after, groups, repeats}}; letters are texts of characters.
   */
  function buildScript(table) {
    const classes = new Map();
    for (const [name, letters] of Object.entries(table.classes)) for (const each of letters) classes.set(each, name);
    const bound = new Set(table.bound), rtl = new Set(table.rtl), neutral = new Set(table.neutral);
    const letters = [...table.letters];
    const ids = new Map(letters.map((letter, place) => [letter, place + 1])); // 0 is the blank
    const groups = table.folds.groups.map(([signs, rules]) => [
      new RegExp(signs, "u"), rules.map(([pattern, becomes]) => [new RegExp(pattern, "gu"), becomes]),
    ]);
    const base = table.direction === "rtl" ? bidi.RTL : bidi.LTR;
    const self = { direction: table.direction, letters, ids, closingOf: new Map(Object.entries(table.brackets)) };

    self.classOf = (letter) => classes.get(letter) ?? "L";
    const isLtr = (text) => ![...text].some((letter) => rtl.has(letter));
    const isRtl = (text) => [...text].every((letter) => neutral.has(letter));

    /** A text as its units: each a base, and what is bound to it. */
    self.unitsOf = (text) => {
      const units = [];
      for (const letter of text) {
        if (units.length && bound.has(letter)) units[units.length - 1] += letter;
        else units.push(letter);
      }
      return units;
    };

    /** Letters from left to right -> the label. */
    self.logicalOrder = (text) => {
      if (table.direction === "visual" || (table.direction === "ltr" && isLtr(text))) return text;
      const units = self.unitsOf(text);
      if (table.direction === "rtl" && isRtl(text)) return units.reverse().join("");
      return unturn.searchLogicalOrder(units, base, self).join("");
    };

    /** Which character of a label comes first from left to right, and so on. */
    self.readingPositions = (text) => {
      const units = self.unitsOf(text).map((unit) => [...unit].length);
      if (table.direction === "visual" || (table.direction === "ltr" && isLtr(text))) return [...[...text].keys()];
      const firsts = [0];
      units.forEach((length, place) => firsts.push(firsts[place] + length));
      return bidi.visualPositions(bidi.levelsOf(self.unitsOf(text), base, self)).flatMap((unit) => {
        return Array.from({ length: units[unit] }, (_, step) => firsts[unit] + step);
      });
    };

    const translate = (text, changes) => [...text].map((letter) => changes[letter] ?? letter).join("");

    const normaliseOnce = (text) => {
      const composed = translate(text, table.folds.before).normalize("NFC");
      text = translate(composed, table.folds.after);
      if ([...text].length > [...composed].length) text = text.normalize("NFC");
      for (const [signs, rules] of groups) {
        while (signs.test(text)) {
          const before = text;
          for (const [pattern, becomes] of rules) text = text.replace(pattern, becomes);
          if (text === before) break;
          text = text.normalize("NFC");
        }
      }
      return text.split(WHITE_SPACE).filter(Boolean).join(" ");
    };

    /** As ScriptProfile.normalise: NFC, folded, runs of white space as one space, ends stripped. */
    self.normalise = (text) => {
      let label = normaliseOnce(text);
      for (let left = table.folds.repeats ? [...label].length + 2 : 0; left; left--) {
        const again = normaliseOnce(label);
        if (again === label) break;
        label = again;
      }
      return label;
    };

    /** Ids from left to right, without blanks -> the text as it is shown. */
    self.decode = (numbers) => self.normalise(self.logicalOrder(numbers.map((id) => letters[id - 1]).join("")));
    return self;
  }

  return { buildScript };
})();
