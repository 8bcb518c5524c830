"use strict";
// Readings as CSV (RFC 4180), as spreadsheets open it: UTF-8 with a byte order mark.

const csv = (() => {
  /** Quoted if it must be. Spreadsheets run cells that begin like a formula: an apostrophe before them prevents it. */
  function cellOf(value) {
    const text = String(value ?? "");
    const safe = /^[\s\u200e\u200f]*[=+\-@\t\r＝＋－＠]/u.test(text) ? `'${text}` : text;
    return /[",;\t\r\n']/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  }

  function write(rows) {
    return "\ufeff" + rows.map((row) => row.map(cellOf).join(",") + "\r\n").join("");
  }

  return { write };
})();
