/** The page: opens files, shows one of them, and says what it knows of it. */

import {decode, info} from '../decoder/bls2017.js';
import {fetchBytes, readFile} from '../decoder/fetching.js';
import {Picture} from './picture.js';
import {factsOf, problemOf} from './texts.js';
import {Viewer} from './viewer.js';

const $ = (id) => document.getElementById(id);

/** Pictures that are kept decoded. */
const KEPT_PICTURES = 4;

/**
 * A file that was opened.
 *
 * @typedef {{
 *   name: string,
 *   read: function(): Promise<Uint8Array>,
 *   info: ?Object,
 *   seconds: (number|undefined),
 *   picture: ?Picture,
 *   error: ?Error,
 * }} Entry
 */

/** @type {Entry[]} */
const entries = [];
/** @type {?Entry} */
let current = null;
const viewer = new Viewer($('canvas'));

/** Opens files of the device. */
function openFiles(files) {
  openEntries(Array.from(
      files, (file) => ({name: file.name, read: () => readFile(file)})));
}

/** Opens an address, relative ones as well. */
function openAddress(text) {
  const address = new URL(text, document.baseURI);
  const name = decoded(address.pathname.split('/').pop());
  const shown = new URL(location);
  shown.searchParams.set('src', text);
  history.replaceState(null, '', shown);
  openEntries([
    {name: name || address.host, read: () => fetchBytes(address.href)},
  ]);
}

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function openEntries(opened) {
  if (!opened.length) return;
  for (const {name, read} of opened) {
    entries.push({name, read, info: null, picture: null, error: null});
  }
  document.body.dataset.state = 'open';
  select(entries[entries.length - opened.length]);
}

/** Makes a file the one that is shown, decoding it where needed. */
async function select(entry) {
  current = entry;
  forgetOldPictures();
  viewer.show(entry.picture);
  refresh();
  if (entry.picture) return;
  entry.error = null;
  try {
    await decodeEntry(entry);
  } catch (error) {
    entry.error = error;
  }
  if (entry !== current) return;
  viewer.show(entry.picture);
  refresh();
  $('status').textContent = entry.error ?
      problemOf(entry.error).title :
      `${entry.name} is shown`;
}

async function decodeEntry(entry) {
  const progress = (text, share) => {
    if (entry === current) showProgress(text, share);
  };
  progress('Reading the file…');
  const bytes = await entry.read();
  progress('Loading the decoder…');
  entry.info = await info(bytes);
  if (entry === current) refresh();
  progress('Decoding…');
  const started = performance.now();
  const image = await decode(
      bytes, {onProgress: (share) => progress('Decoding…', share)});
  entry.seconds = (performance.now() - started) / 1000;
  entry.picture = await Picture.of(image);
}

/** Closes pictures of files that were shown longest ago. */
function forgetOldPictures() {
  const kept = entries.filter((e) => e.picture && e !== current);
  for (const entry of kept.slice(0, -KEPT_PICTURES)) {
    entry.picture.close();
    entry.picture = null;
  }
}

function showProgress(text, share) {
  $('waiting').hidden = false;
  $('waiting-text').textContent = text;
  if (share === undefined) $('progress').removeAttribute('value');
  else $('progress').value = share;
}

/** Brings the page in line with the current file. */
function refresh() {
  const {name, error, picture} = current;
  document.title = `${name} · bls viewer`;
  $('name').textContent = name;
  $('canvas').setAttribute('aria-label', name);
  $('waiting').hidden = true;
  showFacts();
  showProblem(error);
  showEntries();
  endComparison();
  for (const button of $('tools').querySelectorAll('button')) {
    button.disabled = !picture;
  }
}

function showFacts() {
  const facts = current.info ? factsOf(current.info, current.seconds) : [];
  $('facts').replaceChildren(...facts.flatMap(([term, value]) => [
    element('dt', term),
    element('dd', value),
  ]));
}

function showProblem(error) {
  $('problem').hidden = !error;
  if (!error) return;
  const {title, hint, retry} = problemOf(error);
  $('problem-title').textContent = title;
  $('problem-hint').textContent = hint;
  $('problem-detail').textContent = error.message;
  $('retry').hidden = !retry;
}

function showEntries() {
  $('list').hidden = entries.length < 2;
  $('entries').replaceChildren(...entries.map((entry) => {
    const button = element('button', entry.name);
    button.type = 'button';
    button.classList.toggle('failed', entry.error !== null);
    button.setAttribute('aria-current', entry === current);
    button.addEventListener('click', () => select(entry));
    const item = document.createElement('li');
    item.append(button);
    return item;
  }));
}

function element(tag, text) {
  const result = document.createElement(tag);
  result.textContent = text;
  return result;
}

/** Reads an original and shows it left of the split. */
async function compare(file) {
  const entry = current;
  let original;
  try {
    original = await Picture.read(file);
  } catch (error) {
    note(error.message, true);
    return;
  }
  if (entry !== current || !entry.picture) return;
  const {picture} = entry;
  if (!picture.fits(original)) {
    note(
        `${file.name} has ${original.width} × ${original.height} pixels, the ` +
        `image has ${picture.width} × ${picture.height}: they do not compare.`,
        true);
    return;
  }
  viewer.compareWith(original);
  moveSplit(50);
  setComparing(true);
  const psnr = picture.psnr(original);
  const equal = psnr === Infinity;
  $('right-label').textContent =
      equal ? 'Decoded: the same' : `Decoded: ${psnr.toFixed(2)} dB`;
  note(
      equal ? `Every pixel equals that of ${file.name}.` :
              `PSNR to ${file.name}: ${psnr.toFixed(2)} dB`);
}

function endComparison() {
  if (viewer.original) {
    viewer.original.close();
    viewer.compareWith(null);
  }
  setComparing(false);
  $('comparison').hidden = true;
}

function setComparing(comparing) {
  for (const id of ['split-field', 'left-label', 'right-label']) {
    $(id).hidden = !comparing;
  }
  $('compare').textContent = comparing ? 'End comparison' : 'Compare…';
}

function moveSplit(percent) {
  $('split').value = percent;
  viewer.setSplit(percent / 100);
}

function note(text, bad = false) {
  $('comparison').textContent = text;
  $('comparison').classList.toggle('bad', bad);
  $('comparison').hidden = false;
  $('status').textContent = text;
}

async function save() {
  const {name, picture} = current;
  try {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await picture.png());
    link.download = `${name.replace(/\.bls$/i, '')}.png`;
    link.click();
    // The browser has begun to read it by then.
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  } catch (error) {
    note(error.message, true);
  }
}

function showPixel(pixel) {
  const {picture} = current ?? {};
  const shown = pixel?.original ? viewer.original : picture;
  const colour = pixel && shown?.pixelAt(pixel.x, pixel.y);
  $('pixel').hidden = !colour;
  if (!colour) return;
  const swatch = document.createElement('span');
  swatch.className = 'swatch';
  swatch.style.background = `rgb(${colour.join(' ')})`;
  $('pixel').replaceChildren(
      swatch, `${pixel.x}, ${pixel.y}: ${colour.join(' ')}`);
}

function listenToButtons() {
  const chooseFiles = () => $('files').click();
  for (const id of ['open', 'choose', 'other']) {
    $(id).addEventListener('click', chooseFiles);
  }
  $('files').addEventListener('change', () => {
    openFiles($('files').files);
    $('files').value = '';
  });
  $('address-form').addEventListener('submit', (event) => {
    event.preventDefault();
    openTyped($('address').value.trim());
  });
  $('retry').addEventListener('click', () => select(current));
  $('smaller').addEventListener('click', () => viewer.zoomOut());
  $('larger').addEventListener('click', () => viewer.zoomIn());
  $('fit').addEventListener('click', () => viewer.fit());
  $('actual').addEventListener('click', () => viewer.zoomTo(1));
  $('save').addEventListener('click', save);
  $('compare').addEventListener('click', () => {
    if (viewer.original) endComparison();
    else $('original-file').click();
  });
  $('original-file').addEventListener('change', () => {
    compare($('original-file').files[0]);
    $('original-file').value = '';
  });
  $('split').addEventListener(
      'input', () => viewer.setSplit($('split').valueAsNumber / 100));
}

function openTyped(text) {
  try {
    openAddress(text);
  } catch {
    $('address').setCustomValidity('This is not an address.');
    $('address').reportValidity();
    $('address').setCustomValidity('');
  }
}

function listenToDrops() {
  let depth = 0;
  const drag = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle('dragging', depth > 0);
  };
  addEventListener('dragenter', () => drag(1));
  addEventListener('dragleave', () => drag(-1));
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => {
    event.preventDefault();
    drag(-depth);
    const files = [...event.dataTransfer.files];
    const original = files.length === 1 && current?.picture &&
        !/\.bls$/i.test(files[0].name) && files[0].type.startsWith('image/');
    // An ordinary image that is dropped on a picture is its original.
    if (original) {
      endComparison();
      compare(files[0]);
    } else {
      openFiles(files);
    }
  });
}

viewer.addEventListener('change', () => {
  $('zoom').textContent =
      viewer.picture ? `${Math.round(100 * viewer.scale)}%` : '–';
  $('split').value = 100 * viewer.split;
});
viewer.addEventListener('point', ({detail}) => showPixel(detail));
listenToButtons();
listenToDrops();
const asked = new URLSearchParams(location.search).get('src');
if (asked) openTyped(asked);
