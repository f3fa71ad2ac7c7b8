"use strict";
/* The images of all panels at a position. A position counts the moments that have images. */

const facts = JSON.parse(document.getElementById("facts").textContent);

/** For each position the moment, the chunk, and the place in the chunk. */
const positions = facts.chunks.flatMap((chunk, number) =>
  chunk.moments.map((moment, place) => ({ moment, number, place })));

/** Files that are open, by the id of their first element: the last ones used. */
const openFiles = new Map();
const FILES_KEPT = 3 * facts.panels.length;

/** The bytes of a file, from base64 in the page. */
function bytesOf(id) {
  const text = document.getElementById(id).textContent;
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i += 1) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

/** What opens files of each kind: a function from the place in a sequence to an image that `drawImage` takes. */
const openers = {
  "image/webp": async ([id]) => {
    const blob = new Blob([bytesOf(id)], { type: "image/webp" });
    const image = await createImageBitmap(blob, { colorSpaceConversion: "none" });
    return { at: async () => image, done: () => {}, close: () => image.close() };
  },
  "image/avif": async ([id]) => {
    needs("ImageDecoder", "AVIF sequences");
    const decoder = new ImageDecoder({ type: "image/avif", data: bytesOf(id), preferAnimation: true });
    await decoder.tracks.ready;
    return {
      at: async (place) => (await decoder.decode({ frameIndex: place, completeFramesOnly: true })).image,
      done: (image) => image.close(),
      close: () => decoder.close(),
    };
  },
  "video/vp9": async (ids) => {
    needs("VideoDecoder", "VP9");
    const sequence = new Sequence(ids.map(bytesOf));
    return { at: (place) => sequence.at(place), done: (image) => image.close(), close: () => sequence.close() };
  },
};

function needs(name, what) {
  if (name in window) return;
  throw new Error(`This browser cannot step through ${what} (it has no ${name}): ` +
    "open the page in Chrome, Edge or Firefox.");
}

/** VP9 with 4:4:4 and 8 bits, and colours as in `vsr/report/compare/coding.py`. */
const VP9 = {
  codec: "vp09.01.10.08.03.01.13.06.00",
  colorSpace: { primaries: "bt709", transfer: "iec61966-2-1", matrix: "smpte170m", fullRange: false },
  hardwareAcceleration: "prefer-software",
  optimizeForLatency: true,
};

/** Packets of VP9, of which the first one is a key frame. Steps forward decode only what lies between. */
class Sequence {
  constructor(packets) {
    this.packets = packets;
    this.fed = Infinity; // packets that the decoder has; a larger number than all means that it begins anew
    this.last = null; // the image that was decoded last, which panels with equal images share
    this.turn = Promise.resolve();
  }

  /** The image at a place, for the caller to close; one after the other. */
  at(place) {
    const image = this.turn.then(() => this.image(place));
    this.turn = image.catch(() => {});
    return image;
  }

  async image(place) {
    const time = 40000 * place;
    if (!this.last || this.last.timestamp !== time) await this.decode(place, time);
    return this.last.clone();
  }

  async decode(place, time) {
    if (this.fed > place) this.begin();
    await new Promise((resolve, reject) => {
      Object.assign(this, { time, resolve, reject });
      for (; this.fed <= place; this.fed += 1) {
        const type = this.fed ? "delta" : "key";
        this.decoder.decode(new EncodedVideoChunk({ type, timestamp: 40000 * this.fed, data: this.packets[this.fed] }));
      }
      // A decoder may keep images back until it is flushed, and needs a key frame after that.
      this.timer = setTimeout(() => { this.fed = Infinity; this.decoder.flush().catch(reject); }, 1000);
    }).finally(() => clearTimeout(this.timer));
  }

  begin() {
    this.close();
    this.decoder = new VideoDecoder({
      output: (image) => this.take(image),
      error: (error) => { this.fed = Infinity; this.reject(error); },
    });
    this.decoder.configure(VP9);
    this.fed = 0;
  }

  take(image) {
    if (image.timestamp !== this.time) {
      image.close();
      return;
    }
    if (this.last) this.last.close();
    this.last = image;
    this.resolve();
  }

  close() {
    if (this.last) this.last.close();
    this.last = null;
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    this.fed = Infinity;
  }
}

/** Opens files once, and closes those that were not used for the longest time. */
function openedFile(ids, kind) {
  const id = ids[0];
  const file = openFiles.get(id) || openers[kind](ids);
  openFiles.delete(id);
  openFiles.set(id, file);
  while (openFiles.size > FILES_KEPT) {
    const [oldest, old] = openFiles.entries().next().value;
    openFiles.delete(oldest);
    old.then((opened) => opened.close(), () => {});
  }
  return file;
}

/** Draws the image of a panel at a position into a canvas, pixel for pixel. */
async function drawPanel(canvas, panel, position) {
  const { number, place } = positions[position];
  const chunk = facts.chunks[number];
  const files = chunk.files[panel];
  const file = await openedFile(chunk.kind === "image/webp" ? [files[place]] : files, chunk.kind);
  const image = await file.at(place);
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0);
  file.done(image);
}
