/** Shows `<img src="x.bls">`: its source becomes what was decoded. */

import {decode} from './bls2017.js';
import {UnreadableInputError} from './errors.js';
import {fetchBytes} from './fetching.js';

const SUFFIX = /\.bls(?:[?#]|$)/i;

/** The object URL that each image shows. */
const shown = new WeakMap();

/**
 * Shows the .bls images of a document, also those that are added later.
 *
 * An image that cannot be shown keeps its `alt`; it gets the attribute
 * `data-bls-error`, and an event "blserror" whose `detail` is the error.
 *
 * @param {Document|Element} [root] Where to look.
 * @return {function(): void} Stops looking.
 */
export function showImages(root = document) {
  imagesIn(root).forEach(show);
  const observer = new MutationObserver((records) => {
    for (const {type, target, addedNodes, removedNodes} of records) {
      if (type === 'attributes') show(target);
      for (const node of addedNodes) imagesIn(node).forEach(show);
      for (const node of removedNodes) {
        // An image that was only moved is in the page again.
        imagesIn(node).filter((image) => !image.isConnected).forEach(forget);
      }
    }
  });
  observer.observe(
      root, {subtree: true, childList: true, attributeFilter: ['src']});
  return () => observer.disconnect();
}

/** The images among a node and its descendants. */
function imagesIn(node) {
  if (node instanceof HTMLImageElement) return [node];
  return [...node.querySelectorAll?.('img') ?? []];
}

async function show(image) {
  if (!(image instanceof HTMLImageElement)) return;
  const address = image.src;
  if (address !== shown.get(image)) forget(image);
  if (!SUFFIX.test(address)) return;
  const stillAsked = () => image.src === address && image.isConnected;
  try {
    const blob = await toPng(await decode(await fetchBytes(address)));
    if (!stillAsked()) return;
    delete image.dataset.blsError;
    shown.set(image, URL.createObjectURL(blob));
    image.src = shown.get(image);
  } catch (error) {
    if (!stillAsked()) return;
    image.dataset.blsError = error.message;
    image.dispatchEvent(
        new CustomEvent('blserror', {bubbles: true, detail: error}));
  }
}

function forget(image) {
  URL.revokeObjectURL(shown.get(image));
  shown.delete(image);
}

/** A Blob of the PNG file of an image, as `decode` gives it. */
export async function toPng({width, height, data}) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(data, width, height);
  canvas.getContext('2d')?.putImageData(pixels, 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  if (blob) return blob;
  throw new UnreadableInputError(
      `an image of ${width} x ${height} pixels is too large for this browser`);
}
