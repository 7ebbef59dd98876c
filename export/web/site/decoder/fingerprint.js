/**
 * FarmHash Fingerprint64 (Geoff Pike, google/farmhash), the checksum of files.
 *
 * JavaScript's numbers do not hold 64 bits and its BigInts are slow, so a word
 * is two halves, and what is done to words is done in place.
 */

/** Bytes that one round takes. */
const BLOCK = 64;
const WORD = 8;
const LARGEST_HALF = 0xffffffff;

/**
 * 64 bits, as 32-bit integers of whatever sign JavaScript's operators give
 * them. Sums and products are modulo 2**64. Every method changes the word and
 * returns it.
 */
class Word {
  constructor(high = 0, low = 0) {
    this.high = high | 0;
    this.low = low | 0;
  }

  set({high, low}) {
    this.high = high;
    this.low = low;
    return this;
  }

  /** Takes eight bytes, the lowest first. */
  read(view, at) {
    this.low = view.getInt32(at, true);
    this.high = view.getInt32(at + 4, true);
    return this;
  }

  add({high, low}) {
    const sum = (this.low >>> 0) + (low >>> 0);
    const carry = sum > LARGEST_HALF ? 1 : 0;
    this.low = sum | 0;
    this.high = (this.high + high + carry) | 0;
    return this;
  }

  /** Long multiplication with digits of 16 bits. */
  multiply({high, low}) {
    const a0 = this.low & 0xffff;
    const a1 = this.low >>> 16;
    const b0 = low & 0xffff;
    const b1 = low >>> 16;
    // Each sum stays below 2**32: (2**16 - 1)**2 + 2**16 - 1.
    const first = Math.imul(a0, b0) >>> 0;
    const second = (Math.imul(a1, b0) >>> 0) + (first >>> 16);
    const third = (Math.imul(a0, b1) >>> 0) + (second & 0xffff);
    const carried =
        Math.imul(a1, b1) + (second >>> 16) + (third >>> 16);
    const crossed = Math.imul(this.low, high) + Math.imul(this.high, low);
    this.low = (third << 16) | (first & 0xffff);
    this.high = (carried + crossed) | 0;
    return this;
  }

  xor({high, low}) {
    this.high ^= high;
    this.low ^= low;
    return this;
  }

  /** Rotates to the right by 1 to 63 bits, not by 32. */
  rotate(bits) {
    const {high, low} = this;
    const right = bits % 32;
    const left = 32 - right;
    const straight = bits < 32;
    const upper = straight ? high : low;
    const lower = straight ? low : high;
    this.high = (upper >>> right) | (lower << left);
    this.low = (lower >>> right) | (upper << left);
    return this;
  }

  /** x ^ (x >> 47). */
  mix() {
    this.low ^= this.high >>> 15;
    return this;
  }

  toBigInt() {
    return (BigInt(this.high >>> 0) << 32n) | BigInt(this.low >>> 0);
  }
}

const copy = (word) => new Word().set(word);
const number = (value) => new Word(0, value);

const K0 = new Word(0xc3a5c85c, 0x97cb3127);
const K1 = new Word(0xb492b66f, 0xbe98f273);
const K2 = new Word(0x9ae16a3b, 0x2f90404f);
const SEED = number(81);
const ADDEND = number(113);

/**
 * The fingerprint of bytes.
 *
 * @param {Uint8Array} data
 * @return {bigint} From 0 to 2**64 - 1.
 */
export function fingerprint64(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return fingerprint(view).toBigInt();
}

function fingerprint(view) {
  if (view.byteLength <= 16) return upTo16(view);
  if (view.byteLength <= 32) return upTo32(view);
  if (view.byteLength <= BLOCK) return upTo64(view);
  return longer(view);
}

/** Hash of two words. */
function combine(a, b, multiplier) {
  const x = copy(a).xor(b).multiply(multiplier).mix();
  return x.xor(b).multiply(multiplier).mix().multiply(multiplier);
}

/** K2 plus twice the length. */
const multiplierOf = (view) => number(2 * view.byteLength).add(K2);

function upTo16(view) {
  const n = view.byteLength;
  const multiplier = multiplierOf(view);
  if (n >= 8) {
    const a = new Word().read(view, 0).add(K2);
    const b = new Word().read(view, n - 8);
    return combine(
        copy(b).rotate(37).multiply(multiplier).add(a),
        copy(a).rotate(25).add(b).multiply(multiplier), multiplier);
  }
  if (n >= 4) {
    const first = number(view.getInt32(0, true)).multiply(number(8));
    const last = number(view.getInt32(n - 4, true));
    return combine(first.add(number(n)), last, multiplier);
  }
  if (n > 0) {
    const y = view.getUint8(0) + 256 * view.getUint8(n >> 1);
    const z = n + 4 * view.getUint8(n - 1);
    return number(y).multiply(K2).xor(number(z).multiply(K0)).mix()
        .multiply(K2);
  }
  return copy(K2);
}

/**
 * Hash of the first and the last 16 bytes, and the words a to d of these: a
 * comes multiplied by `seed`, c by `multiplier`, and d by K2.
 */
function ends(view, seed, multiplier) {
  const n = view.byteLength;
  const a = new Word().read(view, 0).multiply(seed);
  const b = new Word().read(view, 8);
  const c = new Word().read(view, n - 8).multiply(multiplier);
  const d = new Word().read(view, n - 16).multiply(K2);
  // rotate(a + b, 43) + rotate(c, 30) + d, a + rotate(b + K2, 18) + c
  const y = copy(a).add(b).rotate(43).add(copy(c).rotate(30)).add(d);
  const z = copy(b).add(K2).rotate(18).add(a).add(c);
  return {a, y, z};
}

function upTo32(view) {
  const multiplier = multiplierOf(view);
  const {y, z} = ends(view, K1, multiplier);
  return combine(y, z, multiplier);
}

function upTo64(view) {
  const n = view.byteLength;
  const multiplier = multiplierOf(view);
  const {a, y, z} = ends(view, K2, multiplier);
  const e = new Word().read(view, 16).multiply(multiplier);
  const f = new Word().read(view, 24);
  const g = new Word().read(view, n - 32).add(y).multiply(multiplier);
  const h = combine(y, z, multiplier);
  h.add(new Word().read(view, n - 24)).multiply(multiplier);
  // rotate(e + f, 43) + rotate(g, 30) + h, e + rotate(f + a, 18) + g
  return combine(
      copy(e).add(f).rotate(43).add(copy(g).rotate(30)).add(h),
      copy(f).add(a).rotate(18).add(e).add(g), multiplier);
}

/** The state of the hash of more than 64 bytes. */
class State {
  constructor(view) {
    this.view = view;
    this.x = copy(SEED).multiply(K2).add(new Word().read(view, 0));
    this.y = copy(SEED).multiply(K1).add(ADDEND);
    this.z = copy(this.y).multiply(K2).add(ADDEND).mix().multiply(K2);
    this.v0 = new Word();
    this.v1 = new Word();
    this.w0 = new Word();
    this.w1 = new Word();
    /** The words of a block. */
    this.words = Array.from({length: BLOCK / WORD}, () => new Word());
    /** Holds parts of sums. */
    this.part = new Word();
  }

  /** Takes 64 bytes from `at` on; `weight` is 1, of the last bytes 9. */
  round(at, multiplier, weight) {
    const {view, words, part, x, y, z, v0, v1, w0, w1} = this;
    words.forEach((word, i) => word.read(view, at + WORD * i));
    // x = rotate(x + y + v0 + word 1, 37) * multiplier ^ w1 * weight
    x.add(y).add(v0).add(words[1]).rotate(37).multiply(multiplier);
    x.xor(part.set(w1).multiply(weight));
    // y = rotate(y + v1 + word 6, 42) * multiplier + v0 * weight + word 5
    y.add(v1).add(words[6]).rotate(42).multiply(multiplier);
    y.add(part.set(v0).multiply(weight)).add(words[5]);
    // z = rotate(z + w0, 33) * multiplier
    z.add(w0).rotate(33).multiply(multiplier);
    v0.set(v1).multiply(multiplier);
    v1.set(x).add(w0);
    this.weakHash(v0, v1, 0);
    w0.set(z).add(w1);
    w1.set(y).add(words[2]);
    this.weakHash(w0, w1, 4);
    this.x = z;
    this.z = x;
  }

  /** Takes four words of the block, from `first` on, into two seeds. */
  weakHash(a, b, first) {
    const {words, part} = this;
    // start = a + word 0
    // b = rotate(b + start + word 3, 21) + start
    a.add(words[first]);
    b.add(a).add(words[first + 3]).rotate(21).add(a);
    // sum = start + word 1 + word 2; b = b + rotate(sum, 44)
    a.add(words[first + 1]).add(words[first + 2]);
    b.add(part.set(a).rotate(44));
    // a = sum + word 3
    a.add(words[first + 3]);
  }
}

function longer(view) {
  const n = view.byteLength;
  const state = new State(view);
  const rest = (n - 1) % BLOCK;
  const once = number(1);
  for (let at = 0; at < n - 1 - rest; at += BLOCK) state.round(at, K1, once);
  const multiplier = number((state.z.low & 0xff) << 1).add(K1);
  state.w0.add(number(rest));
  state.v0.add(state.w0);
  state.w0.add(state.v0);
  // The last round takes the last 64 bytes, some of them once more.
  state.round(n - BLOCK, multiplier, number(9));
  const {x, y, z, v0, v1, w0, w1} = state;
  const first = combine(v0, w0, multiplier);
  const second = combine(v1, w1, multiplier);
  return combine(
      first.add(y.mix().multiply(K0)).add(z), second.add(x), multiplier);
}
