/* Uses an export from C: loads it once and calls every signature, with
   TensorFlow's C API alone.

       serve VERSION PHOTOGRAPH QUALITY OUTPUT_DIR

   Each request is a batch of a sound item and a broken one. Photographs are the
   given one and its first half; compressed files are what became of it, and the
   same cut short by a byte. Each output goes to OUTPUT_DIR/SIGNATURE.OUTPUT:
   strings one after the other, numbers as they lie in memory. Where a request
   fails as a whole, the program says why and ends with 1. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

/* ------------------------------------------------- protocol buffers -- */

typedef struct {
  const char *data;
  size_t size;
} Bytes;

static Bytes take(Bytes *message, uint64_t size) {
  if (size > message->size) fail("a protocol buffer", "it ends too early");
  Bytes taken = {message->data, size};
  message->data += size;
  message->size -= size;
  return taken;
}

static uint64_t take_varint(Bytes *message) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    unsigned char byte = *take(message, 1).data;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  fail("a protocol buffer", "a number is too long");
  return 0;
}

/* Takes a field: its number, and its bytes if it is a string or a message. */
static uint64_t take_field(Bytes *message, Bytes *value) {
  uint64_t tag = take_varint(message);
  *value = (Bytes){NULL, 0};
  switch (tag & 7) {
    case 0: take_varint(message); break;
    case 1: take(message, 8); break;
    case 2: *value = take(message, take_varint(message)); break;
    case 5: take(message, 4); break;
    default: fail("a protocol buffer", "it has a field of an unknown kind");
  }
  return tag >> 3;
}

/* Takes fields up to the first of a number; false if there is none. */
static int take_next(Bytes *message, uint64_t number, Bytes *value) {
  while (message->size)
    if (take_field(message, value) == number) return 1;
  return 0;
}

static Bytes field(Bytes message, uint64_t number) {
  Bytes value;
  if (!take_next(&message, number, &value))
    fail("a protocol buffer", "it lacks a field");
  return value;
}

static int equal(Bytes bytes, const char *string) {
  return bytes.size == strlen(string) &&
         !memcmp(bytes.data, string, bytes.size);
}

/* A map is a field for each entry, a message of key and value. */
enum { KEY = 1, VALUE = 2 };

static Bytes look_up(Bytes message, uint64_t map, const char *key) {
  Bytes entry;
  while (take_next(&message, map, &entry))
    if (equal(field(entry, KEY), key)) return field(entry, VALUE);
  fail(key, "the export has no such name");
  return entry;
}

/* Of MetaGraphDef, SignatureDef and TensorInfo. */
enum { SIGNATURES = 5 };
enum { INPUTS = 1, OUTPUTS = 2 };
enum { TENSOR_NAME = 1 };

/* ---------------------------------------------------------- tensors -- */

static TF_Tensor *numbers(TF_DataType type, const void *pair) {
  TF_Tensor *tensor =
      TF_AllocateTensor(type, (int64_t[]){2}, 1, 2 * TF_DataTypeSize(type));
  memcpy(TF_TensorData(tensor), pair, TF_TensorByteSize(tensor));
  return tensor;
}

/* A string, and its first `size` bytes. */
static TF_Tensor *strings(Bytes whole, size_t size) {
  TF_Tensor *tensor = TF_AllocateTensor(
      TF_STRING, (int64_t[]){2}, 1, 2 * sizeof(TF_TString));
  TF_TString *pair = TF_TensorData(tensor);
  for (int i = 0; i < 2; i++) {
    TF_StringInit(pair + i);
    TF_StringCopy(pair + i, whole.data, i ? size : whole.size);
  }
  return tensor;
}

static Bytes string_at(TF_Tensor *tensor, int i) {
  TF_TString *string = (TF_TString *)TF_TensorData(tensor) + i;
  return (Bytes){TF_StringGetDataPointer(string), TF_StringGetSize(string)};
}

static Bytes read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) fail(path, "cannot be read");
  size_t size = ftell(file);
  char *data = malloc(size);
  rewind(file);
  if (fread(data, 1, size, file) != size) fail(path, "cannot be read");
  fclose(file);
  return (Bytes){data, size};
}

static void write_tensor(const char *path, TF_Tensor *tensor) {
  FILE *file = fopen(path, "wb");
  if (!file) fail(path, "cannot be written");
  if (TF_TensorType(tensor) == TF_STRING) {
    for (int i = 0; i < TF_TensorElementCount(tensor); i++) {
      Bytes string = string_at(tensor, i);
      fwrite(string.data, 1, string.size, file);
    }
  } else {
    fwrite(TF_TensorData(tensor), 1, TF_TensorByteSize(tensor), file);
  }
  if (fclose(file)) fail(path, "cannot be written");
}

/* -------------------------------------------------------- the model -- */

typedef struct {
  TF_Graph *graph;
  TF_Session *session;
  Bytes meta_graph;
  const char *output_dir;
} Model;

static Model load(const char *version, const char *output_dir) {
  const char *tags[] = {"serve"};
  TF_Status *status = TF_NewStatus();
  TF_SessionOptions *options = TF_NewSessionOptions();
  TF_Buffer *meta_graph = TF_NewBuffer();
  TF_Graph *graph = TF_NewGraph();
  TF_Session *session = TF_LoadSessionFromSavedModel(
      options, NULL, version, tags, 1, graph, meta_graph, status);
  check(status, version);
  return (Model){
      graph, session, {meta_graph->data, meta_graph->length}, output_dir};
}

/* The tensor of an input or an output, whose name is "operation:number". */
static TF_Output tensor_of(const Model *model, Bytes tensor_info) {
  Bytes tensor_name = field(tensor_info, TENSOR_NAME);
  char name[256];
  snprintf(name, sizeof name, "%.*s", (int)tensor_name.size, tensor_name.data);
  char *colon = strchr(name, ':');
  if (!colon) fail(name, "is no name of a tensor");
  *colon = 0;
  TF_Output output = {TF_GraphOperationByName(model->graph, name),
                      atoi(colon + 1)};
  if (!output.oper) fail(name, "the graph has no such operation");
  return output;
}

typedef struct {
  const char *name;
  TF_Tensor *value;
} Input;

enum { MAX_INPUTS = 2, MAX_OUTPUTS = 8 };

/* Calls a signature with inputs up to the one without a name, writes all its
   outputs, and gives the one that is `wanted`, where that is a name. */
static TF_Tensor *call(const Model *model, const char *signature,
                       const Input *inputs, const char *wanted) {
  Bytes described = look_up(model->meta_graph, SIGNATURES, signature);
  TF_Output fed[MAX_INPUTS], fetched[MAX_OUTPUTS];
  TF_Tensor *values[MAX_INPUTS], *answers[MAX_OUTPUTS], *answer = NULL;
  Bytes names[MAX_OUTPUTS], entry;
  int feeds = 0, fetches = 0;

  for (; inputs[feeds].name; feeds++) {
    fed[feeds] =
        tensor_of(model, look_up(described, INPUTS, inputs[feeds].name));
    values[feeds] = inputs[feeds].value;
  }
  for (; take_next(&described, OUTPUTS, &entry); fetches++) {
    if (fetches == MAX_OUTPUTS) fail(signature, "has too many outputs");
    names[fetches] = field(entry, KEY);
    fetched[fetches] = tensor_of(model, field(entry, VALUE));
  }

  TF_Status *status = TF_NewStatus();
  TF_SessionRun(model->session, NULL, fed, values, feeds, fetched, answers,
                fetches, NULL, 0, NULL, status);
  check(status, signature);
  for (int i = 0; i < fetches; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.%.*s", model->output_dir, signature,
             (int)names[i].size, names[i].data);
    write_tensor(path, answers[i]);
    if (wanted && equal(names[i], wanted)) answer = answers[i];
  }
  if (wanted && !answer) fail(wanted, "is no output");
  return answer;
}

int main(int count, char **arguments) {
  if (count != 5) fail("arguments", "VERSION PHOTOGRAPH QUALITY OUTPUT_DIR");
  Model model = load(arguments[1], arguments[4]);
  Bytes photograph = read_file(arguments[2]);
  float quality = strtof(arguments[3], NULL);

  const char *result = "compressed_bytes";
  Input qualities = {"quality", numbers(TF_FLOAT, (float[]){quality, quality})};
  Input files = {"image_bytes", strings(photograph, photograph.size / 2)};
  Input to_compress[] = {files, qualities, {0}};
  call(&model, "serving_default", to_compress, NULL);
  Bytes made = string_at(call(&model, "compress", to_compress, result), 0);

  Input compressed = {result, strings(made, made.size - 1)};
  Input to_decompress[] = {compressed, {0}};
  call(&model, "info", to_decompress, NULL);
  call(&model, "decompress", to_decompress, NULL);
  Input jpeg_qualities = {"jpeg_quality", numbers(TF_INT32, (int[]){90, 90})};
  Input to_jpeg[] = {compressed, jpeg_qualities, {0}};
  call(&model, "decompress_to_jpeg", to_jpeg, NULL);
  Input images = {"image",
                  call(&model, "decompress_image", to_decompress, "image")};
  call(&model, "compress_image", (Input[]){images, qualities, {0}}, NULL);
  return 0;
}
