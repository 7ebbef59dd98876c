/**
 * FarmHash Fingerprint64 (Geoff Pike, google/farmhash), the checksum of files.
 *
 * All values are unsigned 64-bit integers held by BigInts: each sum and product
 * is cut to 64 bits where it is made, which engines turn into one instruction.
 */

const K0 = 0xc3a5c85c97cb3127n;
const K1 = 0xb492b66fbe98f273n;
const K2 = 0x9ae16a3b2f90404fn;
const SEED = 81n;

/** Bytes that one round takes. */
const BLOCK = 64;

const u64 = (x) => BigInt.asUintN(64, x);
const rotate = (x, bits) => (x >> bits) | u64(x << (64n - bits));
const mix = (x) => x ^ (x >> 47n);

/** Hash of 128 bits. */
function combine(a, b, multiplier) {
  const x = mix(u64((a ^ b) * multiplier));
  return u64(mix(u64((b ^ x) * multiplier)) * multiplier);
}

/**
 * The fingerprint of bytes.
 *
 * @param {Uint8Array} data More than 16 bytes; what a file's checksum covers
 *     has at least 18.
 * @return {bigint} From 0 to 2**64 - 1.
 */
export function fingerprint64(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length <= 32) return upTo32(view);
  if (data.length <= BLOCK) return upTo64(view);
  return longer(view);
}

function upTo32(view) {
  const n = view.byteLength;
  const word = (i) => view.getBigUint64(i, true);
  const multiplier = u64(K2 + BigInt(n) * 2n);
  const a = u64(word(0) * K1);
  const b = word(8);
  const c = u64(word(n - 8) * multiplier);
  const d = u64(word(n - 16) * K2);
  return combine(
      u64(rotate(u64(a + b), 43n) + rotate(c, 30n) + d),
      u64(a + rotate(u64(b + K2), 18n) + c), multiplier);
}

function upTo64(view) {
  const n = view.byteLength;
  const word = (i) => view.getBigUint64(i, true);
  const multiplier = u64(K2 + BigInt(n) * 2n);
  const a = u64(word(0) * K2);
  const b = word(8);
  const c = u64(word(n - 8) * multiplier);
  const d = u64(word(n - 16) * K2);
  const y = u64(rotate(u64(a + b), 43n) + rotate(c, 30n) + d);
  const z = combine(y, u64(a + rotate(u64(b + K2), 18n) + c), multiplier);
  const e = u64(word(16) * multiplier);
  const f = word(24);
  const g = u64((y + word(n - 32)) * multiplier);
  const h = u64((z + word(n - 24)) * multiplier);
  return combine(
      u64(rotate(u64(e + f), 43n) + rotate(g, 30n) + h),
      u64(e + rotate(u64(f + a), 18n) + g), multiplier);
}

/** The hash of 32 bytes from `i` on, seeded with a and b: two words. */
function weakHash(view, i, a, b) {
  const last = view.getBigUint64(i + 24, true);
  const first = u64(a + view.getBigUint64(i, true));
  const second = rotate(u64(b + first + last), 21n);
  const sum = u64(
      first + view.getBigUint64(i + 8, true) + view.getBigUint64(i + 16, true));
  return [u64(sum + last), u64(second + rotate(sum, 44n) + first)];
}

/** The state of the hash of more than 64 bytes. */
class State {
  constructor(view) {
    this.view = view;
    this.x = u64(SEED * K2 + view.getBigUint64(0, true));
    this.y = u64(SEED * K1 + 113n);
    this.z = u64(mix(u64(this.y * K2 + 113n)) * K2);
    this.v0 = 0n;
    this.v1 = 0n;
    this.w0 = 0n;
    this.w1 = 0n;
  }

  /** Takes 64 bytes from `i` on; `weight` is 1, of the last bytes 9. */
  round(i, multiplier, weight) {
    const {view} = this;
    const word = (offset) => view.getBigUint64(i + offset, true);
    const x = rotate(u64(this.x + this.y + this.v0 + word(8)), 37n);
    const y = rotate(u64(this.y + this.v1 + word(48)), 42n);
    const newX = u64(x * multiplier) ^ u64(this.w1 * weight);
    const newY = u64(y * multiplier + this.v0 * weight + word(40));
    const newZ = u64(rotate(u64(this.z + this.w0), 33n) * multiplier);
    const v = weakHash(view, i, u64(this.v1 * multiplier), u64(newX + this.w0));
    const w =
        weakHash(view, i + 32, u64(newZ + this.w1), u64(newY + word(16)));
    [this.v0, this.v1] = v;
    [this.w0, this.w1] = w;
    this.x = newZ;
    this.y = newY;
    this.z = newX;
  }
}

function longer(view) {
  const n = view.byteLength;
  const state = new State(view);
  const rest = (n - 1) % BLOCK;
  for (let i = 0; i < n - 1 - rest; i += BLOCK) state.round(i, K1, 1n);
  const multiplier = u64(K1 + ((state.z & 0xffn) << 1n));
  state.w0 = u64(state.w0 + BigInt(rest));
  state.v0 = u64(state.v0 + state.w0);
  state.w0 = u64(state.w0 + state.v0);
  // The last round takes the last 64 bytes, some of them once more.
  state.round(n - BLOCK, multiplier, 9n);
  const {x, y, z, v0, v1, w0, w1} = state;
  return combine(
      u64(combine(v0, w0, multiplier) + mix(y) * K0 + z),
      u64(combine(v1, w1, multiplier) + x), multiplier);
}
