/* SPDX-License-Identifier: MIT
 * Reading one safetensors file. Nothing in it is trusted: the header's length is bounded before it is read, and each tensor's
 * dtype, shape and offsets must agree with each other, with its neighbours (no overlap, no hole) and with the file's size. */
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensor data is little-endian and used as it is");

enum {
    HEADER_MAX = 100000000,
    SHRUNK = 1 << 16, /* what a read answers where the file ends early; above every errno */
};

/* Those that are read ... */
static const enum dtype readable[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16};

/* ... and those that occur in buffers that are passed over, with the bytes of an element. */
static const struct {
    const char *name;
    unsigned bytes;
} others[] = {
    {"F64", 8}, {"I64", 8},     {"U64", 8},     {"I32", 4}, {"U32", 4}, {"I16", 2},
    {"U16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I8", 1},  {"U8", 1},  {"BOOL", 1},
};

bool safetensors_dtype(const struct safetensors_tensor *t, enum dtype *out)
{
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++) {
        *out = readable[i];
        if (strcmp(dtype_name(*out), t->dtype) == 0)
            return true;
    }
    return false;
}

static unsigned element_bytes(const struct safetensors_tensor *t)
{
    enum dtype d;

    if (safetensors_dtype(t, &d))
        return (unsigned)dtype_block_bytes(d);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i].name, t->dtype) == 0)
            return others[i].bytes;
    return 0;
}

const char *safetensors_shape(const struct safetensors_tensor *t, char *buf, size_t size)
{
    size_t n = (size_t)snprintf(buf, size, "[");

    for (int i = 0; i < t->rank && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%" PRIu64, i ? ", " : "", t->shape[i]);
    if (n < size)
        snprintf(buf + n, size - n, "]");
    return buf;
}

/* 0, an errno, or SHRUNK where the file ends early. */
static int read_exactly(int fd, void *out, size_t bytes, uint64_t at)
{
    char *p = out;

    while (bytes > 0) {
        ssize_t n = pread(fd, p, bytes, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : SHRUNK;
        p += n;
        at += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

static int read_error(const struct safetensors *s, int why, struct err *e)
{
    return err_set(e, ERR_IO, "%s: %s", s->path, why == SHRUNK ? "the file shrank while it was read" : strerror(why));
}

/* --- the header ---------------------------------------------------------------------------------------------------------- */

static int bad_tensor(const struct safetensors *s, const struct safetensors_tensor *t, const char *why, struct err *e)
{
    return err_set(e, ERR_FORMAT, "%s: tensor '%.100s': %s", s->path, t->name, why);
}

/* What dtype and shape ask for; false where that does not fit into 64 bits. */
static bool tensor_bytes(const struct safetensors_tensor *t, unsigned element, uint64_t *bytes)
{
    *bytes = element;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(*bytes, t->shape[i], bytes))
            return false;
    return true;
}

static int parse_shape(const struct safetensors *s, struct safetensors_tensor *t, const json_t *shape, struct err *e)
{
    if (!json_is_array(shape) || json_array_size(shape) > SAFETENSORS_RANK_MAX)
        return bad_tensor(s, t, "shape: expected a list of at most 8 sizes", e);
    t->rank = (int)json_array_size(shape);
    for (int i = 0; i < t->rank; i++) {
        const json_t *n = json_array_get(shape, (size_t)i);
        if (!json_is_integer(n) || json_integer_value(n) < 0)
            return bad_tensor(s, t, "shape: expected non-negative integers", e);
        t->shape[i] = (uint64_t)json_integer_value(n);
    }
    return 0;
}

static int parse_offsets(const struct safetensors *s, struct safetensors_tensor *t, const json_t *offsets, struct err *e)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);

    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < json_integer_value(begin))
        return bad_tensor(s, t, "data_offsets: expected [begin, end]", e);
    t->begin = (uint64_t)json_integer_value(begin);
    t->end = (uint64_t)json_integer_value(end);
    return 0;
}

static int parse_tensor(const struct safetensors *s, struct safetensors_tensor *t, const json_t *about, uint64_t data_bytes,
                        struct err *e)
{
    const json_t *dtype = json_object_get(about, "dtype");
    char shape[128];
    uint64_t expected;
    int code;

    if (!json_is_object(about) || !json_is_string(dtype))
        return bad_tensor(s, t, "expected an object with dtype, shape and data_offsets", e);
    t->dtype = json_string_value(dtype);
    unsigned element = element_bytes(t);
    if (element == 0)
        return err_set(e, ERR_FORMAT, "%s: tensor '%.100s': unknown dtype '%.20s'", s->path, t->name, t->dtype);
    code = parse_shape(s, t, json_object_get(about, "shape"), e);
    if (code == 0)
        code = parse_offsets(s, t, json_object_get(about, "data_offsets"), e);
    if (code < 0)
        return code;
    if (t->end > data_bytes)
        return err_set(e, ERR_FORMAT,
                       "%s: tensor '%.100s': bytes %" PRIu64 " to %" PRIu64 " lie outside the file's %" PRIu64 " bytes of data",
                       s->path, t->name, t->begin, t->end, data_bytes);
    if (!tensor_bytes(t, element, &expected) || expected != t->end - t->begin)
        return err_set(e, ERR_FORMAT, "%s: tensor '%.100s': %" PRIu64 " bytes do not hold %s of %s", s->path, t->name,
                       t->end - t->begin, safetensors_shape(t, shape, sizeof shape), t->dtype);
    if (t->begin % element)
        return err_set(e, ERR_FORMAT, "%s: tensor '%.100s': byte %" PRIu64 " is not aligned for %s", s->path, t->name, t->begin,
                       t->dtype);
    return 0;
}

static int by_begin(const void *a, const void *b)
{
    const struct safetensors_tensor *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end); /* an empty tensor before the one that begins there */
}

/* The tensors tile the data: the format allows neither overlap nor hole, which also makes a file of wrong length visible. */
static int check_tiling(const struct safetensors *s, uint64_t data_bytes, struct err *e)
{
    uint64_t covered = 0;

    for (size_t i = 0; i < s->count; i++) {
        const struct safetensors_tensor *t = &s->tensors[i];
        if (t->begin < covered)
            return err_set(e, ERR_FORMAT, "%s: tensor '%.100s' overlaps tensor '%.100s'", s->path, t->name, t[-1].name);
        if (t->begin > covered)
            return err_set(e, ERR_FORMAT, "%s: tensor '%.100s': a hole of %" PRIu64 " bytes before it", s->path, t->name,
                           t->begin - covered);
        covered = t->end;
    }
    if (covered != data_bytes)
        return err_set(e, ERR_FORMAT, "%s: %" PRIu64 " bytes of data, the header describes %" PRIu64, s->path, data_bytes,
                       covered);
    return 0;
}

static int parse_header(struct safetensors *s, const char *json, size_t length, uint64_t data_bytes, struct err *e)
{
    json_error_t at;
    const char *name;
    json_t *about;

    s->header = json_loadb(json, length, JSON_REJECT_DUPLICATES, &at);
    if (!s->header)
        return err_set(e, ERR_FORMAT, "%s: header, byte %d: %s", s->path, at.position, at.text);
    if (!json_is_object(s->header))
        return err_set(e, ERR_FORMAT, "%s: header: expected an object", s->path);
    s->tensors = calloc(json_object_size(s->header) + 1, sizeof *s->tensors);
    if (!s->tensors)
        return err_set(e, ERR_MEMORY, "%s: out of memory for %zu tensors", s->path, json_object_size(s->header));
    json_object_foreach(s->header, name, about)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        s->tensors[s->count].name = name;
        int code = parse_tensor(s, &s->tensors[s->count], about, data_bytes, e);
        if (code < 0)
            return code;
        s->count++;
    }
    qsort(s->tensors, s->count, sizeof *s->tensors, by_begin);
    return check_tiling(s, data_bytes, e);
}

int safetensors_open(struct safetensors *s, const char *path, struct err *e)
{
    struct stat st;
    uint64_t length = 0;
    char *json = NULL;
    int code, why;

    *s = (struct safetensors){.path = strdup(path), .fd = -1};
    if (!s->path)
        return err_set(e, ERR_MEMORY, "%s: out of memory", path);
    s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (s->fd < 0 || fstat(s->fd, &st) < 0)
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_IO, "%s: not a regular file", path);
    uint64_t size = (uint64_t)st.st_size;
    if (size < sizeof length)
        return err_set(e, ERR_FORMAT, "%s: %" PRIu64 " bytes, too short for a safetensors file", path, size);
    why = read_exactly(s->fd, &length, sizeof length, 0);
    if (why)
        return read_error(s, why, e);
    if (length > HEADER_MAX || length > size - sizeof length)
        return err_set(e, ERR_FORMAT, "%s: a header of %" PRIu64 " bytes in a file of %" PRIu64 "; at most %d are read", path,
                       length, size, HEADER_MAX);
    json = malloc(length + 1);
    if (!json)
        return err_set(e, ERR_MEMORY, "%s: out of memory for a header of %" PRIu64 " bytes", path, length);
    s->data_start = sizeof length + length;
    why = read_exactly(s->fd, json, length, sizeof length);
    code = why ? read_error(s, why, e) : parse_header(s, json, length, size - s->data_start, e);
    free(json);
    return code;
}

void safetensors_close(struct safetensors *s)
{
    if (s->path && s->fd >= 0)
        close(s->fd);
    json_decref(s->header);
    free(s->tensors);
    free(s->path);
    *s = (struct safetensors){0};
}

/* --- the data ------------------------------------------------------------------------------------------------------------ */

/* Where the file holds columns, each of them is read in pieces as long as a band has rows: those should be long. */
enum { BAND_BYTES = 1 << 20, TURNED_BYTES = 8 << 20, TURNED_ROWS = 512, TILE = 16, SMALL = 1 << 14 };

/* A tensor on its way into a slot: bands of the slot's rows are brought into memory as they are stored, then put in place. */
struct transfer {
    int fd;
    uint64_t at; /* of the tensor in the file */
    enum dtype stored;
    const struct tensor_slot *slot;
    size_t element, line; /* stored bytes of one element, and of one of the slot's rows */
    int band;             /* rows that are brought at once */
    bool direct;          /* straight into place */
};

static struct transfer transfer_into(const struct tensor_slot *slot, int fd, uint64_t at, enum dtype stored)
{
    const struct matrix *to = &slot->to;
    struct transfer t = {.fd = fd, .at = at, .stored = stored, .slot = slot, .element = dtype_bytes(stored, 1)};

    t.line = dtype_bytes(stored, (size_t)to->cols);
    int fit = (int)((slot->transposed ? TURNED_BYTES : BAND_BYTES) / t.line);
    int most = slot->transposed && fit > TURNED_ROWS ? TURNED_ROWS : fit < 1 ? 1 : fit;
    int bands = (to->rows + most - 1) / most;
    t.band = (to->rows + bands - 1) / bands; /* all alike, for the threads' sake */
    t.direct = to->dtype == stored && (slot->transposed || to->row_bytes == t.line);
    return t;
}

/* Up to TILE lines become columns: what is written at once is a cache line. `element` is a constant where this is called, so
 * that each move is one instruction. */
static inline void turn(char *out, size_t stride, const char *in, size_t n, size_t lines, size_t element)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < lines; k++)
            memcpy(out + i * stride + k * element, in + (k * n + i) * element, element);
}

/* n of the slot's rows, from `first` on: pieces of all the file's lines, TILE lines at a time (`lines` holds them). */
static int bring_columns(const struct transfer *t, size_t first, size_t n, char *out, size_t stride, char *lines)
{
    size_t cols = (size_t)t->slot->to.cols, file_line = (size_t)t->slot->to.rows * t->element, piece = n * t->element;

    for (size_t c = 0; c < cols; c += TILE) {
        size_t height = cols - c < TILE ? cols - c : TILE;
        for (size_t k = 0; k < height; k++) {
            int why = read_exactly(t->fd, lines + k * piece, piece, t->at + (c + k) * file_line + first * t->element);
            if (why)
                return why;
        }
        if (t->element == sizeof(uint32_t))
            turn(out + c * t->element, stride, lines, n, height, sizeof(uint32_t));
        else
            turn(out + c * t->element, stride, lines, n, height, sizeof(uint16_t));
    }
    return 0;
}

static int read_band(const struct transfer *t, int first, char *raw, char *lines)
{
    const struct matrix *to = &t->slot->to;
    int n = to->rows - first < t->band ? to->rows - first : t->band, why;
    char *out = t->direct ? matrix_row(to, first) : raw;

    if (t->slot->transposed)
        why = bring_columns(t, (size_t)first, (size_t)n, out, t->direct ? to->row_bytes : t->line, lines);
    else
        why = read_exactly(t->fd, out, (size_t)n * t->line, t->at + (uint64_t)first * t->line);
    for (int i = 0; i < n && !t->direct && why == 0; i++)
        matrix_put_row(to, first + i, t->stored, raw + (size_t)i * t->line);
    return why;
}

/* Where several threads fail, any one of their answers is reported. */
static int read_bands(const struct transfer *t)
{
    const struct matrix *to = &t->slot->to;
    int bad = 0;

#pragma omp parallel if ((size_t)to->rows * (size_t)to->cols > SMALL)
    {
        char *raw = t->direct ? NULL : malloc((size_t)t->band * t->line);
        char *lines = t->slot->transposed ? malloc((size_t)t->band * t->element * TILE) : NULL;
        int mine = (raw || t->direct) && (lines || !t->slot->transposed) ? 0 : ENOMEM;
#pragma omp for schedule(dynamic)
        for (int first = 0; first < to->rows; first += t->band)
            if (mine == 0)
                mine = read_band(t, first, raw, lines);
        if (mine)
#pragma omp atomic write
            bad = mine;
        free(raw);
        free(lines);
    }
    return bad;
}

int safetensors_read(const struct safetensors *s, const struct safetensors_tensor *t, const struct tensor_slot *slot,
                     struct err *e)
{
    enum dtype stored;

    if (!safetensors_dtype(t, &stored))
        return err_set(e, ERR_FORMAT, "%s: tensor '%.100s': dtype %s is not supported", s->path, t->name, t->dtype);
    struct transfer transfer = transfer_into(slot, s->fd, s->data_start + t->begin, stored);
    int bad = read_bands(&transfer);
    return bad ? read_error(s, bad, e) : 0;
}
