/**
 * Alpha: the box of metadata that holds it, a grey PNG file of one layout,
 * which bls2017/format/FORMAT.md describes.
 */

import {check} from './errors.js';

const BOX_TYPE = 'Alph';
const BROKEN = 'the box of alpha is broken';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** Behind the sides: 8 bits, grey, and the only methods that PNG has. */
const GREY = [8, 0, 0, 0, 0];
/** Before and behind the samples. */
const START_BYTES = 41;
const END_BYTES = 16;

const POLYNOMIAL = 0xedb88320;
/** The first byte of a zlib stream of the largest window. */
const ZLIB_START = 0x78;
/** A zlib stream holds at most as many bytes for each of its own. */
const MAX_RATIO = 1032;
/** Inflated at a time: what a bomb gives beyond its limit is bounded. */
const PIECE_BYTES = 2 ** 14;

/** What a sample is told from, by the type of its row's filter. */
const PREDICTIONS = [
  () => 0,
  (left) => left,
  (left, up) => up,
  (left, up) => (left + up) >> 1,
  (left, up, corner) => {
    const toLeft = Math.abs(up - corner);
    const toUp = Math.abs(left - corner);
    const toCorner = Math.abs(left + up - 2 * corner);
    if (toLeft <= toUp && toLeft <= toCorner) return left;
    return toUp <= toCorner ? up : corner;
  },
];

/**
 * Reads the alpha of an image.
 *
 * @param {{type: string, data: Uint8Array}[]} boxes Of `openBody`.
 * @param {{height: number, width: number}} size Pixels of the image.
 * @return {Promise<Uint8Array|null>} [height, width], or null where all is
 *     opaque.
 * @throws {BitstreamError}
 */
export async function openAlpha(boxes, {height, width}) {
  const data = boxes.find(({type}) => type === BOX_TYPE)?.data;
  if (!data) return null;
  const stream = data.subarray(START_BYTES, -END_BYTES);
  const size = height * (width + 1);
  check(
      size <= MAX_RATIO * stream.length && stream.length <= 2 * size + 64 &&
          stream[0] === ZLIB_START,
      BROKEN);
  const file = fileOf(stream, height, width);
  check(data.every((byte, i) => byte === file[i]), BROKEN);
  const rows = new Uint8Array(size);
  check(await inflates(stream, rows), BROKEN);
  // Not all browsers refuse what follows a stream. Its last byte is of its
  // checksum, where no other value is right.
  const changed = stream.slice();
  changed[changed.length - 1] ^= 1;
  check(!await inflates(changed, rows), BROKEN);
  return unfiltered(rows, height, width);
}

/** The file that holds these samples. */
function fileOf(samples, height, width) {
  const fields = new Uint8Array(8 + GREY.length);
  new DataView(fields.buffer).setUint32(0, width);
  new DataView(fields.buffer).setUint32(4, height);
  fields.set(GREY, 8);
  const file = new Uint8Array(START_BYTES + samples.length + END_BYTES);
  file.set(SIGNATURE);
  let next = SIGNATURE.length;
  for (const [type, content] of
           [['IHDR', fields], ['IDAT', samples], ['IEND', []]]) {
    const view = new DataView(file.buffer, next);
    view.setUint32(0, content.length);
    file.set(new TextEncoder().encode(type), next + 4);
    file.set(content, next + 8);
    const end = 8 + content.length;
    view.setUint32(end, crc32(file.subarray(next + 4, next + end)));
    next += end + 4;
  }
  return file;
}

function crc32(bytes) {
  const table = Uint32Array.from({length: 256}, (_, register) => {
    for (let bit = 0; bit < 8; bit++) {
      register = (register >>> 1) ^ (register & 1 ? POLYNOMIAL : 0);
    }
    return register;
  });
  let register = ~0;
  for (const byte of bytes) {
    register = (register >>> 8) ^ table[(register ^ byte) & 0xff];
  }
  return ~register;
}

/** Inflates a zlib stream; tells if it is whole and fills `result`. */
async function inflates(stream, result) {
  let start = 0;
  const pieces = new ReadableStream({
    pull(controller) {
      const piece = stream.slice(start, start += PIECE_BYTES);
      if (piece.length) controller.enqueue(piece);
      else controller.close();
    },
  });
  const reader =
      pieces.pipeThrough(new DecompressionStream('deflate')).getReader();
  let next = 0;
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return next === result.length;
      result.set(value, next);
      next += value.length;
    }
  } catch {
    // The stream is broken, or goes on behind the result.
    return false;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Undoes the filters of rows: [height, width]. */
function unfiltered(rows, height, width) {
  const alpha = new Uint8Array(height * width);
  let from = 0;
  let to = 0;
  for (let y = 0; y < height; y++) {
    const predict = PREDICTIONS[rows[from++]];
    check(predict, BROKEN);
    for (let x = 0; x < width; x++, to++) {
      const left = x ? alpha[to - 1] : 0;
      const up = y ? alpha[to - width] : 0;
      const corner = x && y ? alpha[to - width - 1] : 0;
      alpha[to] = rows[from++] + predict(left, up, corner);
    }
  }
  return alpha;
}
