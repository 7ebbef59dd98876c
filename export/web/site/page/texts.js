/** What the page says of files and of errors. */

const PROBLEMS = {
  BitstreamError: {
    title: 'This file cannot be decoded',
    hint: 'It is damaged, cut off, or not a .bls image.',
  },
  ForeignModelError: {
    title: 'This file needs another model',
    hint: 'The file is sound, but it was written with a model that this page' +
        ' does not have.',
  },
  LimitError: {
    title: 'This image is too large for this page',
    hint: 'The command “bls2017 decompress” opens it.',
  },
  ModelError: {
    title: 'The decoder could not be started',
    hint: 'A part of it could not be loaded. Look at the connection, then try' +
        ' again.',
    retry: true,
  },
  UnreadableInputError: {
    title: 'The file could not be read',
    hint: 'Look at its name or address, then try again.',
    retry: true,
  },
};
const UNKNOWN = {
  title: 'The image could not be decoded',
  hint: 'The browser may have run out of memory. Close other pages, then try' +
      ' again.',
  retry: true,
};

/**
 * What to say of an error.
 *
 * @param {Error} error
 * @return {{title: string, hint: string, retry: (boolean|undefined)}}
 */
export function problemOf(error) {
  return PROBLEMS[error.name] ?? UNKNOWN;
}

/** A length of bytes, for people. */
export function byteText(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toFixed(2)} MB`;
}

/**
 * What the page says of a file: pairs of a name and a value.
 *
 * @param {Object} info From the decoder.
 * @param {number} [seconds] That decoding took.
 * @return {string[][]}
 */
export function factsOf(info, seconds) {
  const pixels = info.width * info.height;
  const facts = [
    ['Size', `${info.width} × ${info.height}`],
    ['File', byteText(info.bytes)],
    ['Bits per pixel', info.bpp.toFixed(3)],
    ['Compression', `${(3 * pixels / info.bytes).toFixed(1)} : 1`],
    ['Quality', String(info.quality)],
    ['Model', info.modelId],
    ['Format', `version ${info.version}`],
  ];
  for (const {type, data} of info.boxes) {
    facts.push([type.trim(), byteText(data.length)]);
  }
  if (seconds) facts.push(['Decoded in', `${seconds.toFixed(2)} s`]);
  return facts;
}
