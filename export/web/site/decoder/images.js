/** Shows `<img src="x.bls">`: its source becomes what was decoded. */

import {decode} from './bls2017.js';
import {UnreadableInputError} from './errors.js';
import {fetchBytes} from './fetching.js';

const SUFFIX = /\.bls(?:[?#]|$)/i;
const SELECTOR = 'img[src]';

/** The address that each image shows or is about to. */
const sources = new WeakMap();

/** The address of the decoded picture that each image shows. */
const pictures = new WeakMap();

/**
 * Shows the .bls images of a document, those that are added later as well.
 *
 * An image that cannot be shown keeps its `alt`; it gets the attribute
 * `data-bls-error`, and an event "blserror" whose `detail` is the error.
 *
 * @param {Document|Element} [root] Where to look.
 * @return {function(): void} Stops looking.
 */
export function showImages(root = document) {
  for (const image of root.querySelectorAll(SELECTOR)) show(image);
  const observer = new MutationObserver((records) => {
    for (const {type, target, addedNodes} of records) {
      if (type === 'attributes') show(target);
      for (const node of addedNodes) showAllIn(node);
    }
  });
  observer.observe(
      root, {subtree: true, childList: true, attributeFilter: ['src']});
  return () => observer.disconnect();
}

function showAllIn(node) {
  if (!(node instanceof Element)) return;
  if (node.matches(SELECTOR)) show(node);
  for (const image of node.querySelectorAll(SELECTOR)) show(image);
}

async function show(image) {
  if (!(image instanceof HTMLImageElement) || !SUFFIX.test(image.src)) return;
  const address = image.src;
  sources.set(image, address);
  const stillAsked = () =>
      sources.get(image) === address && image.src === address;
  try {
    const blob = await picture(await fetchBytes(address));
    if (!stillAsked()) return;
    image.removeAttribute('data-bls-error');
    URL.revokeObjectURL(pictures.get(image));
    pictures.set(image, URL.createObjectURL(blob));
    image.src = pictures.get(image);
  } catch (error) {
    if (!stillAsked()) return;
    image.dataset.blsError = error.message;
    image.dispatchEvent(
        new CustomEvent('blserror', {bubbles: true, detail: error}));
  }
}

/** A PNG of a .bls file. */
async function picture(bytes) {
  const {width, height, data} = await decode(bytes);
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(data, width, height);
  canvas.getContext('2d').putImageData(pixels, 0, 0);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => {
      if (blob) resolve(blob);
      else reject(new UnreadableInputError('the image is too large to show'));
    });
  });
}
