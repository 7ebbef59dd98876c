/** The page: opens files, shows one of them, and says what it is. */

import {decode, info} from '../decoder/bls2017.js';
import {fetchBytes, readAll} from '../decoder/fetching.js';
import {toPng} from '../decoder/images.js';
import {Picture} from './picture.js';
import {factsOf, problemOf} from './texts.js';
import {Viewer} from './viewer.js';

const $ = (id) => document.getElementById(id);
const on = (id, type, listener) => $(id).addEventListener(type, listener);

/** How many pictures stay in memory beside the one that is shown. */
const KEPT_PICTURES = 4;

/** The opened files: {name, read, info, seconds, picture, error}. */
const entries = [];
/** The one that is shown. */
let current = null;
const viewer = new Viewer($('canvas'), showView, showPixel);

/** Opens files of the device. */
function openFiles(files) {
  openEntries(Array.from(files, (file) => ({
    name: file.name,
    read: () => readAll(file.stream(), file.name),
  })));
}

/** Opens an address, which may be relative. */
function openAddress(text) {
  let address;
  try {
    address = new URL(text, document.baseURI);
  } catch {
    $('address').setCustomValidity('This is not an address.');
    $('address').reportValidity();
    $('address').setCustomValidity('');
    return;
  }
  const page = new URL(location);
  page.searchParams.set('src', text);
  history.replaceState(null, '', page);
  const name = nameIn(address.pathname) || address.host;
  openEntries([{name, read: () => fetchBytes(address.href)}]);
}

function nameIn(pathname) {
  const name = pathname.split('/').pop();
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function openEntries(opened) {
  if (!opened.length) return;
  entries.push(...opened);
  document.body.dataset.state = 'open';
  select(opened[0]);
}

/** Makes a file the one that is shown; decodes it if need be. */
async function select(entry) {
  current = entry;
  const others = entries.filter((e) => e.picture && e !== entry);
  for (const other of others.slice(0, -KEPT_PICTURES)) delete other.picture;
  show();
  if (entry.picture) return;
  delete entry.error;
  try {
    await decodeEntry(entry);
  } catch (error) {
    entry.error = error;
  }
  if (entry !== current) return;
  show();
  $('status').textContent = entry.error ? problemOf(entry.error).title :
                                          `${entry.name} is shown`;
}

async function decodeEntry(entry) {
  showProgress(entry, 'Reading the file…');
  const bytes = await entry.read();
  showProgress(entry, 'Loading the decoder…');
  entry.info = await info(bytes);
  if (entry === current) showFacts();
  const onProgress = (share) => showProgress(entry, 'Decoding…', share);
  onProgress();
  const started = performance.now();
  const image = await decode(bytes, {onProgress});
  entry.seconds = (performance.now() - started) / 1000;
  entry.picture = new Picture(image);
}

function showProgress(entry, text, share) {
  if (entry !== current) return;
  $('waiting').hidden = false;
  $('waiting-text').textContent = text;
  if (share === undefined) $('progress').removeAttribute('value');
  else $('progress').value = share;
}

/** Shows the current file. */
function show() {
  const {name, error, picture} = current;
  viewer.show(picture ?? null);
  document.title = `${name} · bls viewer`;
  $('name').textContent = name;
  $('canvas').setAttribute('aria-label', name);
  $('waiting').hidden = true;
  showFacts();
  $('problem').hidden = !error;
  if (error) {
    const {title, hint, retry} = problemOf(error);
    $('problem-title').textContent = title;
    $('problem-hint').textContent = hint;
    $('problem-detail').textContent = error.message;
    $('retry').hidden = !retry;
  }
  $('list').hidden = entries.length < 2;
  $('entries').replaceChildren(...entries.map(itemOf));
  showOriginal(null);
  for (const button of $('tools').querySelectorAll('button')) {
    button.disabled = !picture;
  }
}

function showFacts() {
  const facts = current.info ? factsOf(current.info, current.seconds) : [];
  $('facts').replaceChildren(...facts.flatMap(
      ([name, value]) => [element('dt', name), element('dd', value)]));
}

function itemOf(entry) {
  const button = element('button', entry.name);
  button.type = 'button';
  button.className = entry.error ? 'failed' : '';
  button.setAttribute('aria-current', entry === current);
  button.onclick = () => select(entry);
  return element('li', button);
}

function element(tag, ...content) {
  const result = document.createElement(tag);
  result.append(...content);
  return result;
}

/** Reads an original and shows it left of the split. */
async function compare(file) {
  const {picture} = current;
  try {
    const original = await Picture.read(file);
    if (picture !== current.picture) return;
    const {width, height} = original;
    if (width !== picture.width || height !== picture.height) {
      throw new Error(
          `${file.name} has ${width} × ${height} pixels, the image has ` +
          `${picture.width} × ${picture.height}: they do not compare.`);
    }
    const psnr = picture.psnr(original);
    const isEqual = psnr === Infinity;
    const text = isEqual ? 'the same' : `${psnr.toFixed(2)} dB`;
    $('right-label').textContent = `Decoded: ${text}`;
    showOriginal(
        original,
        isEqual ? `Every pixel equals that of ${file.name}.` :
                  `PSNR to ${file.name}: ${text}`);
  } catch (error) {
    showOriginal(null, error.message, true);
  }
}

/** Shows an original, or none, and a text below the facts. */
function showOriginal(original, text = '', isBad = false) {
  viewer.compareWith(original);
  for (const id of ['split-field', 'left-label', 'right-label']) {
    $(id).hidden = !original;
  }
  $('compare').textContent = original ? 'End comparison' : 'Compare…';
  $('comparison').textContent = text;
  $('comparison').hidden = !text;
  $('comparison').classList.toggle('bad', isBad);
  if (text) $('status').textContent = text;
}

async function save() {
  const {name, picture} = current;
  try {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await toPng(picture));
    link.download = `${name.replace(/\.bls$/i, '')}.png`;
    link.click();
    // The browser has begun to read it by then.
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch (error) {
    showOriginal(viewer.original, error.message, true);
  }
}

function showView() {
  const {picture, scale, split} = viewer;
  $('zoom').textContent = picture ? `${Math.round(100 * scale)}%` : '–';
  $('split').value = 100 * split;
}

function showPixel(pixel) {
  $('pixel').hidden = !pixel;
  if (!pixel) return;
  const colour = pixel.colour.join(' ');
  const swatch = element('span');
  swatch.className = 'swatch';
  swatch.style.background = `rgb(${colour})`;
  $('pixel').replaceChildren(swatch, `${pixel.x}, ${pixel.y}: ${colour}`);
}

/** Gives the chosen files of an input to a function, each time. */
function onChosen(id, use) {
  on(id, 'change', () => {
    use($(id).files);
    $(id).value = '';
  });
}

for (const id of ['open', 'choose', 'other']) {
  on(id, 'click', () => $('files').click());
}
onChosen('files', openFiles);
onChosen('original-file', ([file]) => compare(file));
on('address-form', 'submit', (event) => {
  event.preventDefault();
  openAddress($('address').value.trim());
});
on('retry', 'click', () => select(current));
on('smaller', 'click', () => viewer.zoomBy(-1));
on('larger', 'click', () => viewer.zoomBy(1));
on('fit', 'click', () => viewer.fit());
on('actual', 'click', () => viewer.zoomTo(1));
on('save', 'click', save);
on('compare', 'click', () => {
  if (viewer.original) showOriginal(null);
  else $('original-file').click();
});
on('split', 'input', () => viewer.setSplit($('split').valueAsNumber / 100));

addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('dragging');
});
addEventListener('dragleave', ({relatedTarget}) => {
  document.body.classList.toggle('dragging', relatedTarget !== null);
});
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('dragging');
  const {files} = event.dataTransfer;
  // An ordinary image that is dropped on a picture is its original.
  const isOriginal = files.length === 1 && current?.picture &&
      !/\.bls$/i.test(files[0].name) && files[0].type.startsWith('image/');
  if (isOriginal) compare(files[0]);
  else openFiles(files);
});

const asked = new URLSearchParams(location.search).get('src');
if (asked) openAddress(asked);
