/* The range coder and the checksum of FORMAT.md, for Python and for browsers.

   Both run this file as WebAssembly: range_coder.wasm, which
   build_range_coder.sh makes of it.

   There is no allocation: a caller puts what a function reads from __heap_base
   on, grows the memory as far as needed, and passes addresses. Bytes of
   strangers are only ever read within a stream's bounds, and a table index is
   only ever one of its table's, so no stream reaches anything else. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EXPORT(name) __attribute__((export_name(name)))

/* The coding tables of a quality. A table of n symbols is its cumulative
   frequencies cdf[0] = 0 < cdf[1] < ... < cdf[n - 1]; cdf[n] = 2^16 is left
   out. */
typedef struct {
  u32 activities;          /* K, sets of tables */
  u32 channels;            /* L, live channels */
  u32 symbols;             /* S, symbols of one set, all channels together */
  u32 lane_positions;      /* of every lane but the last, which may have fewer */
  const u16 *cdf;          /* [K][S], the tables of the channels */
  const u16 *activity_cdf; /* [K + 1][K], by the activity before; K: none */
  const u32 *starts;       /* [L], where a channel's table begins among the S */
  const u16 *sizes;        /* [L], symbols of a channel's table */
} Tables;

/* ------------------------------------------------------------- intervals -- */

#define WINDOW (1ull << 32)
#define WORD (1ull << 16)

/* The share [a, b) of an interval that table index s has. */
typedef struct {
  u64 a, b;
} Share;

static Share share(u64 size, const u16 *cdf, u32 n, u32 s) {
  u64 end = s + 1 == n ? WORD : cdf[s + 1];
  return (Share){size * cdf[s] >> 16, size * end >> 16};
}

/* The end of a stream: the number that is written lies `above` the base, and
   `bytes` of it follow those of the words; ALL_BUT_ZEROS means that it is a
   multiple of 2^32 whose trailing zero bytes are left out. */
typedef struct {
  u32 above, bytes;
} Ending;

#define ALL_BUT_ZEROS 4

static Ending ending(u32 low, u64 size) {
  if (low + size > WINDOW) return (Ending){-low, ALL_BUT_ZEROS};
  if (low == 0) return (Ending){0, 0};
  u32 to_byte = -low & 0xFFFFFF;
  if (to_byte < size) return (Ending){to_byte, 1};
  return (Ending){-low & 0xFFFF, 2};
}

/* --------------------------------------------------------------- encoder -- */

typedef struct {
  u8 *start, *end; /* the bytes that were shifted out */
  u32 low;         /* base mod 2^32 */
  u64 size;
} Encoder;

/* Adds to the base; a carry runs through the bytes that were shifted out. */
static void add(Encoder *e, u32 amount) {
  e->low += amount;
  if (e->low < amount) {
    u8 *byte = e->end;
    while (byte > e->start && ++*--byte == 0) {
    }
  }
}

static void shift_out(Encoder *e, u32 bytes) {
  for (; bytes; bytes--) {
    *e->end++ = e->low >> 24;
    e->low <<= 8;
  }
}

static void encode_index(Encoder *e, const u16 *cdf, u32 n, u32 s) {
  Share part = share(e->size, cdf, n, s);
  add(e, part.a);
  e->size = part.b - part.a;
  if (e->size <= WORD) {
    shift_out(e, 2);
    e->size <<= 16;
  }
}

static void end_stream(Encoder *e) {
  Ending end = ending(e->low, e->size);
  add(e, end.above);
  if (end.bytes != ALL_BUT_ZEROS) {
    shift_out(e, end.bytes);
    return;
  }
  while (e->end > e->start && e->end[-1] == 0) e->end--;
}

/* Encodes positions lane by lane.

   rows       [positions][1 + L], the activity and the table indices of the live
              channels of each position, all of them inside their tables
   streams    takes the streams one after the other, at most
              2 positions (1 + L) + 4 lanes bytes
   lengths    [lanes], takes the bytes of each */
EXPORT("encode")
void encode(const Tables *t, u32 positions, const u16 *rows, u8 *streams,
            u32 *lengths) {
  u32 columns = 1 + t->channels;
  for (u32 first = 0; first < positions; first += t->lane_positions) {
    u32 left = positions - first;
    u32 count = left < t->lane_positions ? left : t->lane_positions;
    const u16 *lane = rows + first * columns;
    Encoder e = {streams, streams, 0, WINDOW};
    u32 before = t->activities;
    for (u32 p = 0; p < count; p++) {
      u32 activity = lane[p * columns];
      const u16 *cdf = t->activity_cdf + before * t->activities;
      encode_index(&e, cdf, t->activities, activity);
      before = activity;
    }
    for (u32 p = 0; p < count; p++) {
      const u16 *row = lane + p * columns;
      const u16 *cdf = t->cdf + row[0] * t->symbols;
      for (u32 c = 0; c < t->channels; c++)
        encode_index(&e, cdf + t->starts[c], t->sizes[c], row[1 + c]);
    }
    end_stream(&e);
    *lengths++ = e.end - streams;
    streams = e.end;
  }
}

/* --------------------------------------------------------------- decoder -- */

typedef struct {
  const u8 *stream;
  u32 length; /* bytes of the stream; zeros follow them */
  u32 taken;  /* bytes taken into `value`, those zeros included */
  u32 value;  /* the last 4 bytes taken */
  u32 above;  /* (value - base) mod 2^32 */
  u64 size;
} Decoder;

static u32 take_word(Decoder *d) {
  u32 word = 0;
  if (d->taken < d->length) word = d->stream[d->taken] << 8;
  if (d->taken + 1 < d->length) word |= d->stream[d->taken + 1];
  d->taken += 2;
  d->value = d->value << 16 | word;
  return word;
}

static u32 decode_index(Decoder *d, const u16 *cdf, u32 n) {
  /* a <= above is cdf <= target, since a rounds down. */
  u32 target = ((((u64)d->above + 1) << 16) - 1) / d->size;
  u32 s = 0;
  for (u32 end = n; end - s > 1;) {
    u32 middle = (s + end) / 2;
    if (cdf[middle] <= target)
      s = middle;
    else
      end = middle;
  }
  Share part = share(d->size, cdf, n, s);
  d->above -= part.a;
  d->size = part.b - part.a;
  if (d->size <= WORD) {
    d->above = d->above << 16 | take_word(d);
    d->size <<= 16;
  }
  return s;
}

/* Whether the stream is the one that an encoder writes for what it decoded to,
   so that no image has two files. */
static int is_canonical(const Decoder *d) {
  Ending end = ending(d->value - d->above, d->size);
  if (d->above != end.above) return 0;
  u32 words = d->taken - 4;
  if (end.bytes != ALL_BUT_ZEROS) return d->length == words + end.bytes;
  return d->length <= words && !(d->length && !d->stream[d->length - 1]);
}

/* Decodes positions lane by lane, whatever the bytes are.

   streams    the streams one after the other
   lengths    [lanes], the bytes of each
   rows       [positions][1 + L], takes what `encode` took

   Returns whether all streams are an encoder's; rows mean nothing if not. */
EXPORT("decode")
int decode(const Tables *t, u32 positions, const u8 *streams,
           const u32 *lengths, u16 *rows) {
  u32 columns = 1 + t->channels;
  for (u32 first = 0; first < positions; first += t->lane_positions) {
    u32 left = positions - first;
    u32 count = left < t->lane_positions ? left : t->lane_positions;
    u16 *lane = rows + first * columns;
    Decoder d = {streams, *lengths, 0, 0, 0, WINDOW};
    take_word(&d);
    take_word(&d);
    d.above = d.value;
    u32 before = t->activities;
    for (u32 p = 0; p < count; p++) {
      const u16 *cdf = t->activity_cdf + before * t->activities;
      before = decode_index(&d, cdf, t->activities);
      lane[p * columns] = before;
    }
    for (u32 p = 0; p < count; p++) {
      u16 *row = lane + p * columns;
      const u16 *cdf = t->cdf + row[0] * t->symbols;
      for (u32 c = 0; c < t->channels; c++)
        row[1 + c] = decode_index(&d, cdf + t->starts[c], t->sizes[c]);
    }
    if (!is_canonical(&d)) return 0;
    streams += *lengths++;
  }
  return 1;
}

/* -------------------------------------------------------------- checksum -- */

/* FarmHash Fingerprint64 (Geoff Pike, github.com/google/farmhash: farmhashna).
   WebAssembly reads unaligned little-endian words as they are. */

#define K0 0xC3A5C85C97CB3127ull
#define K1 0xB492B66FBE98F273ull
#define K2 0x9AE16A3B2F90404Full

static u64 word64(const u8 *at) {
  u64 word;
  __builtin_memcpy(&word, at, sizeof word);
  return word;
}

static u32 word32(const u8 *at) {
  u32 word;
  __builtin_memcpy(&word, at, sizeof word);
  return word;
}

static u64 rotated(u64 x, int bits) { return x >> bits | x << (64 - bits); }

static u64 shift_mixed(u64 x) { return x ^ x >> 47; }

static u64 mixed(u64 u, u64 v, u64 mul) {
  u64 a = shift_mixed((u ^ v) * mul);
  return shift_mixed((v ^ a) * mul) * mul;
}

typedef struct {
  u64 first, second;
} Pair;

/* What `mixed` takes of 17 to 32 bytes, and of the outer 32 of 33 to 64. */
static Pair halves(const u8 *data, u32 length, u64 mul) {
  u64 a = word64(data) * K1;
  u64 b = word64(data + 8);
  u64 c = word64(data + length - 8) * mul;
  u64 d = word64(data + length - 16) * K2;
  return (Pair){rotated(a + b, 43) + rotated(c, 30) + d,
                a + rotated(b + K2, 18) + c};
}

static u64 hash_up_to_16(const u8 *data, u32 length) {
  u64 mul = K2 + 2 * length;
  if (length >= 8) {
    u64 a = word64(data) + K2;
    u64 b = word64(data + length - 8);
    return mixed(rotated(b, 37) * mul + a, (rotated(a, 25) + b) * mul, mul);
  }
  if (length >= 4) {
    u64 a = word32(data);
    return mixed(length + (a << 3), word32(data + length - 4), mul);
  }
  if (!length) return K2;
  u32 y = data[0] + (data[length / 2] << 8);
  u32 z = length + (data[length - 1] << 2);
  return shift_mixed(y * K2 ^ z * K0) * K2;
}

static u64 hash_33_to_64(const u8 *data, u32 length) {
  u64 mul = K2 + 2 * length;
  u64 a = word64(data) * K2;
  u64 b = word64(data + 8);
  u64 c = word64(data + length - 8) * mul;
  u64 d = word64(data + length - 16) * K2;
  u64 y = rotated(a + b, 43) + rotated(c, 30) + d;
  u64 z = mixed(y, a + rotated(b + K2, 18) + c, mul);
  u64 e = word64(data + 16) * mul;
  u64 f = word64(data + 24);
  u64 g = (y + word64(data + length - 32)) * mul;
  u64 h = (z + word64(data + length - 24)) * mul;
  return mixed(rotated(e + f, 43) + rotated(g, 30) + h,
               e + rotated(f + a, 18) + g, mul);
}

static Pair weak(const u8 *data, u64 a, u64 b) {
  a += word64(data);
  u64 last = word64(data + 24);
  b = rotated(b + a + last, 21);
  u64 sum = a + word64(data + 8) + word64(data + 16);
  return (Pair){sum + last, b + rotated(sum, 44) + a};
}

typedef struct {
  u64 x, y, z;
  Pair v, w;
} State;

/* Takes 64 bytes into the state. */
static void step(State *s, const u8 *data, u64 mul, u64 factor) {
  u64 x = rotated(s->x + s->y + s->v.first + word64(data + 8), 37) * mul;
  u64 y = rotated(s->y + s->v.second + word64(data + 48), 42) * mul;
  u64 z = rotated(s->z + s->w.first, 33) * mul;
  x ^= s->w.second * factor;
  y += s->v.first * factor + word64(data + 40);
  s->v = weak(data, s->v.second * mul, x + s->w.first);
  s->w = weak(data + 32, z + s->w.second, y + word64(data + 16));
  *s = (State){z, y, x, s->v, s->w};
}

static u64 hash_longer(const u8 *data, u32 length) {
  u64 seed = 81;
  u64 y = seed * K1 + 113;
  State s = {.x = seed * K2 + word64(data),
             .y = y,
             .z = shift_mixed(y * K2 + 113) * K2};
  u32 rest = (length - 1) % 64;
  const u8 *end = data + (length - 1 - rest);
  for (const u8 *at = data; at != end; at += 64) step(&s, at, K1, 1);
  u64 mul = K1 + ((s.z & 0xFF) << 1);
  s.w.first += rest;
  s.v.first += s.w.first;
  s.w.first += s.v.first;
  step(&s, data + length - 64, mul, 9);
  u64 u = mixed(s.v.first, s.w.first, mul) + shift_mixed(s.y) * K0 + s.z;
  return mixed(u, mixed(s.v.second, s.w.second, mul) + s.x, mul);
}

/* Fingerprint64 of `length` bytes. */
EXPORT("fingerprint64")
u64 fingerprint64(const u8 *data, u32 length) {
  if (length > 64) return hash_longer(data, length);
  if (length > 32) return hash_33_to_64(data, length);
  if (length <= 16) return hash_up_to_16(data, length);
  u64 mul = K2 + 2 * length;
  Pair both = halves(data, length, mul);
  return mixed(both.first, both.second, mul);
}
