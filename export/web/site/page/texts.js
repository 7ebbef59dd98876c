/** What the page says of files and of errors. */

/** By the name of the error: a title, a hint, and whether to try again. */
const PROBLEMS = {
  BitstreamError: [
    'This file cannot be decoded',
    'It is damaged, cut off, or not a .bls image.',
  ],
  ForeignModelError: [
    'This file needs another model',
    'The file is sound, but it was written with a model that this page does' +
        ' not have.',
  ],
  LimitError: [
    'This image is too large for this page',
    'The command “bls2017 decompress” opens it.',
  ],
  ModelError: [
    'The decoder could not be started',
    'A part of it could not be loaded. Look at the connection, then try again.',
    true,
  ],
  UnreadableInputError: [
    'The file could not be read',
    'Look at its name or address, then try again.',
    true,
  ],
};
const UNKNOWN = [
  'The image could not be decoded',
  'The browser may have run out of memory. Close other pages, then try again.',
  true,
];

export function problemOf({name}) {
  const [title, hint, retry = false] = PROBLEMS[name] ?? UNKNOWN;
  return {title, hint, retry};
}

function lengthText(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toFixed(2)} MB`;
}

/** Names and values that describe a file, from the decoder's `info`. */
export function factsOf(info, seconds) {
  const {width, height, bytes} = info;
  return [
    ['Size', `${width} × ${height}`],
    ['File', lengthText(bytes)],
    ['Bits per pixel', info.bpp.toFixed(3)],
    ['Compression', `${(3 * width * height / bytes).toFixed(1)} : 1`],
    ['Quality', String(info.quality)],
    ['Model', info.modelId],
    ['Format', `version ${info.version}`],
    ...info.boxes.map(({type, data}) => [type.trim(), lengthText(data.length)]),
    ...seconds ? [['Decoded in', `${seconds.toFixed(2)} s`]] : [],
  ];
}
