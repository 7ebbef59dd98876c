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
  u32 activities;            /* K, sets of tables */
  u32 ends;                  /* G, ends of an activity */
  u32 channels;              /* L, live channels */
  u32 context_channels;      /* X, the first of them */
  u32 surroundings;          /* V, beside those of the first pass */
  u32 classes;               /* N, beside that of no neighbour */
  u32 contexts;              /* J, of two classes */
  u32 symbols;               /* S, symbols of one set, all others together */
  const u16 *kind_cdf;       /* [T][K G] */
  const u8 *kind_tables;     /* [V + 1][K + 1], by surroundings and left */
  const u8 *surroundings_of; /* [K][K], of activities above and below */
  const u16 *end_of;         /* [K][G], how many of the others are coded */
  const u16 *cdf;            /* [K][S], the tables of the others */
  const u32 *starts;         /* [L - X], where one's table begins among the S */
  const u16 *context_cdf;    /* the tables of the context channels */
  const u32 *context_starts; /* [X][K][J], where a table begins */
  const u8 *contexts_of;     /* [2][X][N + 1][N + 1], by pass and two classes */
  const u8 *context_classes; /* the class of each symbol of each of them */
  const u32 *class_starts;   /* [X], where a channel's classes begin */
  const u16 *sizes;          /* [L], symbols of a channel's table */
  const u16 *zeros;          /* [L], the table index of symbol 0 */
} Tables;

/* A position is a row of 1 + L numbers: its activity and the table indices of
   the live channels. The first 1 + X of them are its head. */

/* ------------------------------------------------------------ neighbours -- */

/* An image of so many positions, and its lanes. The heads of even lines are
   coded in a first pass, those of odd lines in a second one. */
typedef struct {
  u32 height, width, lanes;
} Grid;

/* The positions of a pass, in their order, that a lane has. */
typedef struct {
  u32 first, end;
} Run;

static Run run_of(const Grid *g, u32 pass, u32 lane) {
  u64 total = (u64)(g->height + 1 - pass) / 2 * g->width;
  return (Run){lane * total / g->lanes, (lane + 1) * total / g->lanes};
}

/* What a position knows: heads, NULL where there is none. */
typedef struct {
  const u16 *left, *second; /* `second` in the first pass alone */
  const u16 *above, *below; /* in the second pass alone */
} Neighbours;

/* The position with number i of a pass; *near takes what it knows of `heads`,
   each of so many columns. */
static u32 position_of(const Grid *g, u32 pass, const Run *run, u32 i,
                       const u16 *heads, u32 columns, Neighbours *near) {
  u32 line = 2 * (i / g->width) + pass, column = i % g->width;
  u32 position = line * g->width + column;
  const u16 *head = heads + position * columns;
  u32 known = i - run->first;
  if (known > column) known = column;
  *near = (Neighbours){0};
  if (known > 0) near->left = head - columns;
  if (pass) {
    near->above = head - g->width * columns;
    near->below = near->above;
    if (line + 1 < g->height) near->below = head + g->width * columns;
  } else if (known > 1) {
    near->second = head - 2 * columns;
  }
  return position;
}

static const u16 *kind_table(const Tables *t, const Neighbours *near) {
  u32 k = t->activities, around = t->surroundings;
  if (near->above)
    around = t->surroundings_of[near->above[0] * k + near->below[0]];
  u32 left = near->left ? near->left[0] : k;
  return t->kind_cdf + t->kind_tables[around * (k + 1) + left] * k * t->ends;
}

/* The table of context channel c at a position of this activity. */
static const u16 *context_table(const Tables *t, u32 c, u32 activity,
                                const Neighbours *near) {
  const u8 *classes = t->context_classes + t->class_starts[c];
  u32 left = t->classes, other = t->classes, pass = near->above != 0;
  if (near->left) left = classes[near->left[1 + c]];
  if (near->second) other = classes[near->second[1 + c]];
  if (pass) other = classes[(near->above[1 + c] + near->below[1 + c]) / 2];
  u32 row = (pass * t->context_channels + c) * (t->classes + 1) + left;
  u32 context = t->contexts_of[row * (t->classes + 1) + other];
  row = c * t->activities + activity;
  return t->context_cdf + t->context_starts[row * t->contexts + context];
}

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

static void encode_heads(Encoder *e, const Tables *t, const Grid *g, u32 pass,
                         u32 lane, const u16 *heads, const u16 *coded) {
  u32 x = t->context_channels, kinds = t->activities * t->ends;
  Run run = run_of(g, pass, lane);
  Neighbours near;
  for (u32 i = run.first; i < run.end; i++) {
    u32 position = position_of(g, pass, &run, i, heads, 1 + x, &near);
    const u16 *head = heads + position * (1 + x);
    u32 kind = head[0] * t->ends;
    while (t->end_of[kind] != coded[position]) kind++;
    encode_index(e, kind_table(t, &near), kinds, kind);
    for (u32 c = 0; c < x; c++)
      encode_index(e, context_table(t, c, head[0], &near), t->sizes[c],
                   head[1 + c]);
  }
}

/* Encodes lanes of an image. A lane codes the heads of its run in the first
   pass, of that in the second one, and then so many table indices of the
   others: the first lane begins with index `skip` of the first row, and each
   goes on where the one before it ended.

   grid       of the image
   first      the first lane
   count      how many lanes
   heads      [height width][1 + X], of the image
   coded      [height width], how many of the others a position codes: one of
              the ends of its activity
   steps      [count], table indices of the others
   rows       [...][1 + L], the positions that hold the others
   row_coded  [...], likewise
   streams    takes the streams one after the other, at most 2 bytes for each
              table index or kind, and 4 a lane
   lengths    [count], takes the bytes of each */
EXPORT("encode")
void encode(const Tables *t, const Grid *grid, u32 first, u32 count,
            const u16 *heads, const u16 *coded, const u32 *steps,
            const u16 *rows, const u16 *row_coded, u32 skip, u8 *streams,
            u32 *lengths) {
  u32 x = t->context_channels;
  for (u32 i = 0; i < count; i++) {
    Encoder e = {streams, streams, 0, WINDOW};
    for (u32 pass = 0; pass < 2; pass++)
      encode_heads(&e, t, grid, pass, first + i, heads, coded);
    for (u32 left = steps[i]; left;) {
      if (skip == *row_coded) {
        skip = 0;
        rows += 1 + t->channels;
        row_coded++;
        continue;
      }
      const u16 *cdf = t->cdf + rows[0] * t->symbols + t->starts[skip];
      encode_index(&e, cdf, t->sizes[x + skip], rows[1 + x + skip]);
      skip++;
      left--;
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

/* A decoder between the heads and what follows them, in 32-bit words. */
typedef struct {
  u32 taken, value, above, size_less_1;
} Paused;

static Decoder resumed(const Paused *state, const u8 *stream, u32 length) {
  return (Decoder){stream,       length,       state->taken,
                   state->value, state->above, (u64)state->size_less_1 + 1};
}

static int decode_run(Decoder *d, const Tables *t, const Grid *g, u32 pass,
                      u32 lane, u16 *heads, u16 *coded) {
  u32 x = t->context_channels, kinds = t->activities * t->ends;
  Run run = run_of(g, pass, lane);
  Neighbours near;
  for (u32 i = run.first; i < run.end; i++) {
    u32 position = position_of(g, pass, &run, i, heads, 1 + x, &near);
    u16 *head = heads + position * (1 + x);
    u32 kind = decode_index(d, kind_table(t, &near), kinds);
    head[0] = kind / t->ends;
    coded[position] = t->end_of[kind];
    if (kind % t->ends && t->end_of[kind] == t->end_of[kind - 1]) return 0;
    for (u32 c = 0; c < x; c++)
      head[1 + c] =
          decode_index(d, context_table(t, c, head[0], &near), t->sizes[c]);
  }
  return 1;
}

/* Decodes the heads of all lanes of an image, whatever the bytes are.

   grid     of the image
   streams  the streams one after the other
   lengths  [lanes], the bytes of each
   heads    [height width][1 + X], takes what `encode` took
   coded    [height width], likewise
   states   [lanes], takes what `decode_others` goes on with

   Returns whether all kinds are ones that an encoder uses; the rest means
   nothing if not. */
EXPORT("decode_heads")
int decode_heads(const Tables *t, const Grid *grid, const u8 *streams,
                 const u32 *lengths, u16 *heads, u16 *coded, Paused *states) {
  for (u32 pass = 0; pass < 2; pass++) {
    const u8 *stream = streams;
    for (u32 i = 0; i < grid->lanes; i++) {
      Decoder d = {stream, lengths[i], 0, 0, 0, WINDOW};
      if (pass) {
        d = resumed(states + i, stream, lengths[i]);
      } else {
        take_word(&d);
        take_word(&d);
        d.above = d.value;
      }
      if (!decode_run(&d, t, grid, pass, i, heads, coded)) return 0;
      states[i] = (Paused){d.taken, d.value, d.above, d.size - 1};
      stream += lengths[i];
    }
  }
  return 1;
}

/* Whether a position codes no more of the others than it has to, so that no
   image has two files. */
static int is_shortest(const Tables *t, const u16 *row, u32 coded) {
  const u16 *end = t->end_of + row[0] * t->ends;
  u32 x = t->context_channels;
  if (coded == *end) return 1;
  while (end[1] != coded) end++;
  for (u32 c = x + *end; c < x + coded; c++)
    if (row[1 + c] != t->zeros[c]) return 1;
  return 0;
}

/* Decodes the others of lanes; `encode` says which they are.

   steps      [lanes]
   streams    the streams one after the other
   lengths    [lanes], the bytes of each
   states     [lanes], from `decode_heads`
   positions  of all rows
   heads      [positions][1 + X]
   coded      [positions]
   rows       [positions][1 + L], takes all of the positions; of the first one
              nothing is known before `skip`

   Returns whether all streams are an encoder's; rows mean nothing if not. */
EXPORT("decode_others")
int decode_others(const Tables *t, u32 lanes, const u32 *steps,
                  const u8 *streams, const u32 *lengths, const Paused *states,
                  u32 positions, const u16 *heads, const u16 *coded, u32 skip,
                  u16 *rows) {
  u32 x = t->context_channels, columns = 1 + t->channels;
  u16 *row = rows;
  for (u32 p = 0; p < positions; p++, heads += 1 + x, row += columns) {
    for (u32 c = 0; c < 1 + x; c++) row[c] = heads[c];
    for (u32 c = x; c < t->channels; c++) row[1 + c] = t->zeros[c];
  }
  u32 whole_from = skip ? 1 : 0, p = 0;
  row = rows;
  for (u32 i = 0; i < lanes; i++, states++) {
    Decoder d = resumed(states, streams, lengths[i]);
    for (u32 left = steps[i]; left;) {
      if (skip == coded[p]) {
        if (p >= whole_from && !is_shortest(t, row, coded[p])) return 0;
        skip = 0;
        p++;
        row += columns;
        continue;
      }
      const u16 *cdf = t->cdf + row[0] * t->symbols + t->starts[skip];
      row[1 + x + skip] = decode_index(&d, cdf, t->sizes[x + skip]);
      skip++;
      left--;
    }
    if (!is_canonical(&d)) return 0;
    streams += lengths[i];
  }
  /* The last position may go on in a lane that is not asked for. */
  if (p < positions && p >= whole_from && skip == coded[p])
    return is_shortest(t, row, coded[p]);
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
