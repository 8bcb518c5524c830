"use strict";
// A photograph by the camera of this device: what is inside the frame of the viewfinder.

const camera = (() => {
  const FRAME = { left: 0.08, top: 0.25, width: 0.84, height: 0.5 }; // as .camera-frame in style.css

  /** onDone: called with the canvas. onMissing: if the page may use no camera. Returns {open}. */
  function build(onDone, onMissing) {
    const find = (id) => document.getElementById(id);
    const dialog = find("camera"), video = find("camera-video");
    let stream = null;

    function stop() {
      stream?.getTracks().forEach((track) => track.stop());
      video.srcObject = stream = null;
    }

    find("camera-cancel").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", stop);
    find("camera-take").addEventListener("click", () => {
      const { videoWidth, videoHeight } = video;
      if (!videoWidth) return; // it has not begun
      const whole = document.createElement("canvas");
      whole.width = videoWidth;
      whole.height = videoHeight;
      whole.getContext("2d").drawImage(video, 0, 0);
      const part = {
        left: Math.round(FRAME.left * videoWidth), top: Math.round(FRAME.top * videoHeight),
        width: Math.round(FRAME.width * videoWidth), height: Math.round(FRAME.height * videoHeight),
      };
      dialog.close();
      onDone(picture.cropped(whole, part));
    });

    return {
      async open() {
        try {
          const video = { facingMode: "environment", width: { ideal: 1920 } };
          stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
        } catch {
          onMissing();
          return;
        }
        video.srcObject = stream;
        dialog.showModal();
      },
    };
  }

  return { build };
})();
