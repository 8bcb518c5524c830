"use strict";
// The model behind `horovod-ocr serve`.

const server = (() => {
  const TOKEN_KEY = "horovod-ocr token";
  const MOST_TRIES = 6; // of a picture, if the server is busy
  const SENT_AS_THEY_ARE = ["image/png", "image/jpeg", "image/webp", "image/bmp"];

  const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

  /** askForToken: () -> a promise of a token, or of null. */
  function connect(askForToken) {
    let asking = null;

    async function request(path, options = {}) {
      for (let tries = 1; ; tries++) {
        const token = sessionStorage.getItem(TOKEN_KEY);
        const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
        let answer;
        try {
          answer = await fetch(path, { ...options, headers });
        } catch {
          throw new Error("The server does not answer; check that it is running, then try again.");
        }
        if (answer.status === 401) {
          if (token === sessionStorage.getItem(TOKEN_KEY)) { // another request may have asked for it already
            asking ??= askForToken().finally(() => { asking = null; });
            const given = await asking;
            if (given === null) throw new Error("The server asks for a token.");
            sessionStorage.setItem(TOKEN_KEY, given);
          }
          continue;
        }
        if (answer.status === 429 && tries < MOST_TRIES) {
          await pause(Math.min(30, Number(answer.headers.get("Retry-After")) || 1));
          continue;
        }
        const values = await answer.json().catch(() => null);
        if (answer.ok && values) return values;
        throw new Error(values?.error?.message ?? `The server answers ${answer.status}.`);
      }
    }

    return {
      together: 3, // pictures at once
      takesAnyFile: true,
      about: () => request("v1/model"),
      /**
       * canvas: what is shown; null if the browser cannot show the file. file: the same as the person gave it; null if
       * it was changed.
       */
      async read(canvas, file) {
        const isSent = !canvas || (file && SENT_AS_THEY_ARE.includes(file.type));
        const body = isSent ? file : await picture.pngOf(canvas);
        return request("v1/read?alternatives=4", {
          method: "POST", body, headers: { "Content-Type": body.type.startsWith("image/") ? body.type : "application/octet-stream" },
        });
      },
    };
  }

  return { connect };
})();
