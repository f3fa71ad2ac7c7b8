"use strict";
/* The images of all panels at a position. A position counts the moments that have images. */

const facts = JSON.parse(document.getElementById("facts").textContent);

/** For each position the moment, the chunk, and the place in the chunk. */
const positions = facts.chunks.flatMap((chunk, number) =>
  chunk.moments.map((moment, place) => ({ moment, number, place })));

/** Files that are open, by the id of their element: the last ones used. */
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

/** A function from the place in a file to an image that `drawImage` takes. */
async function openFile(id, kind) {
  if (kind === "image/webp") {
    const image = await createImageBitmap(new Blob([bytesOf(id)], { type: kind }), { colorSpaceConversion: "none" });
    return { at: async () => image, close: () => image.close() };
  }
  if (!("ImageDecoder" in window)) {
    throw new Error("This browser cannot step through AVIF sequences (it has no ImageDecoder): " +
      "open the page in Chrome, Edge or Firefox.");
  }
  const decoder = new ImageDecoder({ type: kind, data: bytesOf(id), preferAnimation: true });
  await decoder.tracks.ready;
  return {
    at: async (place) => (await decoder.decode({ frameIndex: place, completeFramesOnly: true })).image,
    close: () => decoder.close(),
  };
}

/** Opens a file once, and closes the one that was not used for the longest time. */
function openedFile(id, kind) {
  const file = openFiles.get(id) || openFile(id, kind);
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
  const single = files.length > 1 || chunk.kind === "image/webp";
  const file = await openedFile(files[single ? place : 0], chunk.kind);
  const image = await file.at(place);
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0);
  if (chunk.kind === "image/avif") image.close();
}
