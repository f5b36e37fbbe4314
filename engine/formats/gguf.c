/* SPDX-License-Identifier: MIT
 * One GGUF file, mapped read-only. Nothing in it is trusted: a cursor hands out bytes only after comparing with what is left of
 * the header, counts are compared with the bytes they would need before memory is taken for them, and the tensors must tile the
 * data in whole, aligned pieces. Keys and tensors are sorted by name: duplicates then stand side by side and finding is a
 * search. */
#include "gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF is little-endian and used as it is");

enum {
    HEADER_MAX = 1 << 30, /* bytes before the data */
    KEYS_MAX = 1 << 16,
    TENSORS_MAX = 1 << 16,
    KEY_NAME_MAX = 256,
    STRING_MAX = 1 << 26,
    ARRAY_MAX = 1 << 24, /* elements of one array */
    NESTING_MAX = 4,
    ALIGNMENT_LEAST = 8,
    ALIGNMENT_MOST = 1 << 16,
    KEY_LEAST = 8 + 1 + 4 + 1,           /* bytes that any key takes: name, type, value */
    TENSOR_LEAST = 8 + 1 + 4 + 8 + 4 + 8 /* name, rank, one dimension, type, offset */
};

/* By the number in the file. Types without a dtype are known by name only, so that they can be refused by it. */
static const struct tensor_type {
    const char *name;
    bool readable;
    enum dtype dtype;
} tensor_types[] = {
    [0] = {"F32", true, DTYPE_F32},
    [1] = {"F16", true, DTYPE_F16},
    [2] = {"Q4_0", true, DTYPE_Q4_0},
    [3] = {.name = "Q4_1"},
    [6] = {.name = "Q5_0"},
    [7] = {.name = "Q5_1"},
    [8] = {"Q8_0", true, DTYPE_Q8_0},
    [9] = {.name = "Q8_1"},
    [10] = {.name = "Q2_K"},
    [11] = {.name = "Q3_K"},
    [12] = {"Q4_K", true, DTYPE_Q4_K},
    [13] = {.name = "Q5_K"},
    [14] = {"Q6_K", true, DTYPE_Q6_K},
    [15] = {.name = "Q8_K"},
    [16] = {.name = "IQ2_XXS"},
    [17] = {.name = "IQ2_XS"},
    [18] = {.name = "IQ3_XXS"},
    [19] = {.name = "IQ1_S"},
    [20] = {.name = "IQ4_NL"},
    [21] = {.name = "IQ3_S"},
    [22] = {.name = "IQ2_S"},
    [23] = {.name = "IQ4_XS"},
    [24] = {.name = "I8"},
    [25] = {.name = "I16"},
    [26] = {.name = "I32"},
    [27] = {.name = "I64"},
    [28] = {.name = "F64"},
    [29] = {.name = "IQ1_M"},
    [30] = {"BF16", true, DTYPE_BF16},
    [34] = {.name = "TQ1_0"},
    [35] = {.name = "TQ2_0"},
    [39] = {.name = "MXFP4"},
};
enum { TENSOR_TYPES = sizeof tensor_types / sizeof *tensor_types };

uint32_t gguf_dtype_number(enum dtype d)
{
    uint32_t n = 0;

    while (!tensor_types[n].readable || tensor_types[n].dtype != d)
        n++;
    return n;
}

/* Bytes of a scalar; 0 for strings, arrays and what is no type. */
static size_t scalar_bytes(uint32_t type)
{
    static const uint8_t bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

    return type < GGUF_TYPES ? bytes[type] : 0;
}

/* --- the cursor ----------------------------------------------------------------------------------------------------------- */

/* A walk over the header that keeps its first error: afterwards everything reads as zero. */
struct cursor {
    const struct gguf *g;
    uint64_t at, end; /* end: of the file, or of what a header may be */
    char part[96];    /* what is being read, for errors: "key 17" */
    int code;
    struct err *e;
};

__attribute__((format(printf, 2, 3))) static void fail(struct cursor *c, const char *fmt, ...)
{
    char why[256];
    va_list ap;

    if (c->code < 0)
        return;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    c->code = err_set(c->e, ERR_FORMAT, "%s: %s: %s", c->g->path, c->part, why);
}

/* The next bytes, or NULL where there are not that many. */
static const uint8_t *take(struct cursor *c, uint64_t bytes)
{
    if (c->code < 0)
        return NULL;
    if (bytes > c->end - c->at) {
        if (c->end < c->g->size)
            fail(c, "the header is larger than %d bytes", HEADER_MAX);
        else
            fail(c, "the file ends in the middle of it");
        return NULL;
    }
    c->at += bytes;
    return c->g->map + (c->at - bytes);
}

static uint32_t take_u32(struct cursor *c)
{
    const uint8_t *p = take(c, sizeof(uint32_t));
    uint32_t v = 0;

    if (p)
        memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t take_u64(struct cursor *c)
{
    const uint8_t *p = take(c, sizeof(uint64_t));
    uint64_t v = 0;

    if (p)
        memcpy(&v, p, sizeof v);
    return v;
}

static struct gguf_string take_string(struct cursor *c, const char *what, uint64_t most)
{
    uint64_t len = take_u64(c);

    if (len > most)
        fail(c, "%s of %" PRIu64 " bytes; at most %" PRIu64 " are read", what, len, most);
    const uint8_t *p = take(c, len);
    return (struct gguf_string){.data = (const char *)p, .len = p ? (size_t)len : 0};
}

/* Names are compared, printed and put into other names: only letters that do no harm there. */
static struct gguf_string take_name(struct cursor *c, uint64_t most)
{
    struct gguf_string s = take_string(c, "a name", most);

    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] <= ' ' || s.data[i] > '~')
            fail(c, "a name with byte 0x%02x; expected ASCII letters", (unsigned char)s.data[i]);
    if (s.len == 0)
        fail(c, "an empty name");
    return s;
}

/* --- keys ----------------------------------------------------------------------------------------------------------------- */

static void skip_value(struct cursor *c, uint32_t type, int depth);

/* Element type and count of an array; leaves the cursor at the first element. */
static uint64_t take_array(struct cursor *c, uint32_t *element)
{
    *element = take_u32(c);
    uint64_t count = take_u64(c);

    if (*element >= GGUF_TYPES)
        fail(c, "an array of type %" PRIu32 ", which GGUF does not have", *element);
    if (count > ARRAY_MAX)
        fail(c, "an array of %" PRIu64 " elements; at most %d are read", count, ARRAY_MAX);
    return c->code < 0 ? 0 : count;
}

static void skip_array(struct cursor *c, uint32_t element, uint64_t count, int depth)
{
    size_t scalar = scalar_bytes(element);

    if (depth > NESTING_MAX)
        fail(c, "arrays nested more than %d deep", NESTING_MAX);
    if (scalar > 0)
        take(c, count * scalar); /* cannot wrap round: count is bounded */
    else
        for (uint64_t i = 0; i < count && c->code == 0; i++)
            skip_value(c, element, depth);
}

static void skip_value(struct cursor *c, uint32_t type, int depth)
{
    uint32_t element;

    if (type == GGUF_STRING) {
        take_string(c, "a string", STRING_MAX);
    } else if (type == GGUF_ARRAY) {
        uint64_t count = take_array(c, &element);
        skip_array(c, element, count, depth + 1);
    } else {
        take(c, scalar_bytes(type));
    }
}

static void parse_key(struct cursor *c, struct gguf_key *k)
{
    k->name = take_name(c, KEY_NAME_MAX);
    snprintf(c->part, sizeof c->part, "%.*s", (int)k->name.len, k->name.data ? k->name.data : "");
    uint32_t type = take_u32(c), element = 0;
    if (type >= GGUF_TYPES)
        fail(c, "type %" PRIu32 ", which GGUF does not have", type);
    k->type = (enum gguf_type)type;
    k->count = type == GGUF_ARRAY ? take_array(c, &element) : 1;
    k->element = (enum gguf_type)element;
    k->at = c->at;
    if (type == GGUF_ARRAY)
        skip_array(c, element, k->count, 1);
    else
        skip_value(c, type, 0);
}

static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int keys_by_name(const void *a, const void *b)
{
    const struct gguf_key *x = a, *y = b;

    return compare_names(x->name.data, x->name.len, y->name.data, y->name.len);
}

static void parse_keys(struct cursor *c, struct gguf *g, uint64_t count)
{
    g->keys = calloc(count + 1, sizeof *g->keys);
    if (!g->keys) {
        c->code = err_set(c->e, ERR_MEMORY, "%s: out of memory for %" PRIu64 " keys", g->path, count);
        return;
    }
    for (uint64_t i = 0; i < count && c->code == 0; i++) {
        snprintf(c->part, sizeof c->part, "key %" PRIu64, i);
        parse_key(c, &g->keys[i]);
    }
    if (c->code < 0)
        return;
    g->key_count = (size_t)count;
    qsort(g->keys, g->key_count, sizeof *g->keys, keys_by_name);
    for (size_t i = 1; i < g->key_count; i++) {
        const struct gguf_string *name = &g->keys[i].name;
        snprintf(c->part, sizeof c->part, "%.*s", (int)name->len, name->data);
        if (keys_by_name(&g->keys[i - 1], &g->keys[i]) == 0)
            fail(c, "the key is there twice");
    }
}

/* --- tensors -------------------------------------------------------------------------------------------------------------- */

static void parse_type(struct cursor *c, struct gguf_tensor *t)
{
    uint32_t type = take_u32(c);
    const char *name = type < TENSOR_TYPES ? tensor_types[type].name : NULL;

    if (!name)
        fail(c, "type %" PRIu32 " is unknown", type);
    else if (!tensor_types[type].readable)
        fail(c, "type %s is not supported; expected F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K", name);
    else
        t->dtype = tensor_types[type].dtype;
}

static void parse_shape(struct cursor *c, struct gguf_tensor *t, uint64_t *elements)
{
    uint32_t rank = take_u32(c);

    *elements = 1;
    if (rank < 1 || rank > GGUF_RANK_MAX)
        fail(c, "%" PRIu32 " dimensions; expected 1 to %d", rank, GGUF_RANK_MAX);
    for (uint32_t i = 0; i < GGUF_RANK_MAX; i++) {
        t->shape[i] = i < rank ? take_u64(c) : 1;
        if (c->code == 0 && (t->shape[i] == 0 || __builtin_mul_overflow(*elements, t->shape[i], elements)))
            fail(c, "dimension %" PRIu32 " is %" PRIu64 "; expected sizes whose product is positive and below 2^64", i,
                 t->shape[i]);
        if (c->code < 0)
            return;
    }
}

/* The offset is left relative to the data, whose place is only known when all of the header is read. */
static void parse_tensor(struct cursor *c, struct gguf_tensor *t, uint64_t alignment)
{
    struct gguf_string name = take_name(c, GGUF_NAME_MAX);
    uint64_t elements;

    if (c->code < 0)
        return;
    memcpy(t->name, name.data, name.len);
    snprintf(c->part, sizeof c->part, "tensor '%s'", t->name);
    parse_shape(c, t, &elements);
    parse_type(c, t);
    t->at = take_u64(c);
    if (c->code < 0)
        return;
    uint64_t block = (uint64_t)dtype_block(t->dtype), bytes = (uint64_t)dtype_block_bytes(t->dtype);
    if (t->shape[0] % block)
        fail(c, "rows of %" PRIu64 " elements do not fill the blocks of %s (%" PRIu64 ")", t->shape[0], dtype_name(t->dtype),
             block);
    if (__builtin_mul_overflow(elements / block, bytes, &t->bytes))
        fail(c, "%" PRIu64 " elements are more than any file holds", elements);
    if (t->at % alignment)
        fail(c, "byte %" PRIu64 " of the data is not aligned to %" PRIu64, t->at, alignment);
}

static int tensors_by_place(const void *a, const void *b)
{
    const struct gguf_tensor *x = a, *y = b;

    return (x->at > y->at) - (x->at < y->at);
}

static int tensors_by_name(const void *a, const void *b)
{
    return strcmp(((const struct gguf_tensor *)a)->name, ((const struct gguf_tensor *)b)->name);
}

static uint64_t align_up(uint64_t n, uint64_t alignment)
{
    return (n + alignment - 1) / alignment * alignment;
}

static void check_inside(struct cursor *c, struct gguf *g, uint64_t space)
{
    for (size_t i = 0; i < g->tensor_count && c->code == 0; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        snprintf(c->part, sizeof c->part, "tensor '%s'", t->name);
        if (t->bytes > space || t->at > space - t->bytes)
            fail(c, "bytes %" PRIu64 " to %" PRIu64 " lie outside the file's %" PRIu64 " bytes of data", t->at,
                 t->at + t->bytes, space);
    }
}

/* The tensors follow each other with nothing between them but padding, as every writer lays them out: a wrong offset or size
 * then shows. */
static void place_tensors(struct cursor *c, struct gguf *g, uint64_t alignment)
{
    uint64_t start = align_up(c->at, alignment), next = 0;

    check_inside(c, g, g->size > start ? g->size - start : 0);
    qsort(g->tensors, g->tensor_count, sizeof *g->tensors, tensors_by_place);
    for (size_t i = 0; i < g->tensor_count && c->code == 0; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        snprintf(c->part, sizeof c->part, "tensor '%s'", t->name);
        if (t->at < next)
            fail(c, "overlaps tensor '%s'", t[-1].name);
        else if (t->at > next)
            fail(c, "a hole of %" PRIu64 " bytes before it", t->at - next);
        next = align_up(t->at + t->bytes, alignment);
        t->at += start;
    }
}

static void parse_tensors(struct cursor *c, struct gguf *g, uint64_t count, uint64_t alignment)
{
    g->tensors = calloc(count + 1, sizeof *g->tensors);
    if (!g->tensors) {
        c->code = err_set(c->e, ERR_MEMORY, "%s: out of memory for %" PRIu64 " tensors", g->path, count);
        return;
    }
    for (uint64_t i = 0; i < count && c->code == 0; i++) {
        snprintf(c->part, sizeof c->part, "tensor %" PRIu64, i);
        parse_tensor(c, &g->tensors[i], alignment);
    }
    if (c->code < 0)
        return;
    g->tensor_count = (size_t)count;
    qsort(g->tensors, g->tensor_count, sizeof *g->tensors, tensors_by_name);
    for (size_t i = 1; i < g->tensor_count; i++) {
        snprintf(c->part, sizeof c->part, "tensor '%s'", g->tensors[i].name);
        if (tensors_by_name(&g->tensors[i - 1], &g->tensors[i]) == 0)
            fail(c, "the name is there twice");
    }
    place_tensors(c, g, alignment);
    qsort(g->tensors, g->tensor_count, sizeof *g->tensors, tensors_by_name);
}

/* --- the file ------------------------------------------------------------------------------------------------------------- */

static void parse_version(struct cursor *c)
{
    const uint8_t *magic = take(c, 4);

    if (magic && memcmp(magic, "GGUF", 4) != 0)
        fail(c, "expected the letters GGUF");
    uint32_t version = take_u32(c);
    if (version == 1)
        fail(c, "GGUF version 1 is not supported; expected 2 or 3");
    else if (version > 0 && (version & 0xffff) == 0)
        fail(c, "a big-endian file is not supported");
    else if (version != 2 && version != 3)
        fail(c, "GGUF version %" PRIu32 " is not supported; expected 2 or 3", version);
}

/* A number of things that need at least `each` bytes in what is left of the file. */
static uint64_t take_count(struct cursor *c, const char *what, uint64_t most, uint64_t each)
{
    uint64_t n = take_u64(c);

    if (n > most || n > (c->end - c->at) / each)
        fail(c, "%" PRIu64 " %s in a file of %" PRIu64 " bytes; at most %" PRIu64 " are read", n, what, c->g->size, most);
    return c->code < 0 ? 0 : n;
}

/* 32 where the file does not say. */
static uint64_t read_alignment(struct cursor *c)
{
    const struct gguf_key *k = c->code < 0 ? NULL : gguf_find_key(c->g, "general.alignment");
    int64_t n = GGUF_ALIGNMENT;

    snprintf(c->part, sizeof c->part, "general.alignment");
    if (k && (!gguf_int(c->g, k, &n) || n < ALIGNMENT_LEAST || n > ALIGNMENT_MOST || (n & (n - 1)) != 0))
        fail(c, "expected a power of two from %d to %d", ALIGNMENT_LEAST, ALIGNMENT_MOST);
    return c->code < 0 ? GGUF_ALIGNMENT : (uint64_t)n;
}

static int parse_header(struct gguf *g, struct err *e)
{
    struct cursor c = {.g = g, .end = g->size < HEADER_MAX ? g->size : HEADER_MAX, .part = "header", .e = e};

    parse_version(&c);
    uint64_t tensors = take_count(&c, "tensors", TENSORS_MAX, TENSOR_LEAST);
    uint64_t keys = take_count(&c, "keys", KEYS_MAX, KEY_LEAST);
    if (c.code == 0)
        parse_keys(&c, g, keys);
    uint64_t alignment = read_alignment(&c);
    if (c.code == 0)
        parse_tensors(&c, g, tensors, alignment);
    return c.code;
}

int gguf_open(struct gguf *g, const char *path, struct err *e)
{
    struct stat st;

    *g = (struct gguf){.path = strdup(path), .fd = -1};
    if (!g->path)
        return err_set(e, ERR_MEMORY, "%s: out of memory", path);
    g->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (g->fd < 0 || fstat(g->fd, &st) < 0)
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_IO, "%s: not a regular file", path);
    if (st.st_size == 0)
        return err_set(e, ERR_FORMAT, "%s: the file is empty", path);
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, g->fd, 0);
    if (map == MAP_FAILED)
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    g->map = map;
    g->size = (uint64_t)st.st_size;
    return parse_header(g, e);
}

void gguf_close(struct gguf *g)
{
    if (g->map)
        munmap((void *)g->map, g->size);
    if (g->path && g->fd >= 0)
        close(g->fd);
    free(g->keys);
    free(g->tensors);
    free(g->path);
    *g = (struct gguf){0};
}

int gguf_check_size(const struct gguf *g, struct err *e)
{
    struct stat st;

    if (fstat(g->fd, &st) < 0)
        return err_set(e, ERR_IO, "%s: %s", g->path, strerror(errno));
    if ((uint64_t)st.st_size < g->size)
        return err_set(e, ERR_IO, "%s: the file shrank while it was read", g->path);
    return 0;
}

void gguf_forget(const struct gguf *g, const struct gguf_tensor *t)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = t->at / page * page;

    madvise((void *)(g->map + start), t->at + t->bytes - start, MADV_DONTNEED); /* advice only: refused is fine */
}

/* --- finding and reading -------------------------------------------------------------------------------------------------- */

const struct gguf_key *gguf_find_key(const struct gguf *g, const char *name)
{
    struct gguf_key key = {.name = {.data = name, .len = strlen(name)}};

    return bsearch(&key, g->keys, g->key_count, sizeof key, keys_by_name);
}

struct gguf_tensor *gguf_find_tensor(const struct gguf *g, const char *name)
{
    struct gguf_tensor key = {0};

    strncpy(key.name, name, GGUF_NAME_MAX);
    return bsearch(&key, g->tensors, g->tensor_count, sizeof key, tensors_by_name);
}

bool gguf_int(const struct gguf *g, const struct gguf_key *k, int64_t *out)
{
    static const bool is_signed[GGUF_TYPES] = {[GGUF_I8] = true, [GGUF_I16] = true, [GGUF_I32] = true, [GGUF_I64] = true};
    size_t bytes = scalar_bytes(k->type);
    uint64_t v = 0;

    if (bytes == 0 || k->type == GGUF_F32 || k->type == GGUF_F64 || k->type == GGUF_BOOL)
        return false;
    memcpy(&v, g->map + k->at, bytes);
    if (is_signed[k->type] && bytes < sizeof v && v >> (8 * bytes - 1))
        v |= UINT64_MAX << (8 * bytes);
    if (!is_signed[k->type] && v > INT64_MAX)
        return false;
    memcpy(out, &v, sizeof v);
    return true;
}

bool gguf_number(const struct gguf *g, const struct gguf_key *k, double *out)
{
    int64_t n;
    float f;

    if (k->type == GGUF_F64) {
        memcpy(out, g->map + k->at, sizeof *out);
    } else if (k->type == GGUF_F32) {
        memcpy(&f, g->map + k->at, sizeof f);
        *out = f;
    } else {
        if (!gguf_int(g, k, &n))
            return false;
        *out = (double)n;
    }
    return true;
}

bool gguf_bool(const struct gguf *g, const struct gguf_key *k, bool *out)
{
    uint8_t v = k->type == GGUF_BOOL ? g->map[k->at] : 2;

    *out = v == 1;
    return v < 2;
}

bool gguf_name(const struct gguf *g, const struct gguf_key *k, char *buf, size_t size)
{
    struct gguf_string s;
    uint64_t at = k->at;

    if (k->type != GGUF_STRING || !gguf_next_string(g, &at, &s))
        return false;
    snprintf(buf, size, "%.*s", (int)s.len, s.len ? s.data : "");
    for (char *c = buf; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return true;
}

bool gguf_next_string(const struct gguf *g, uint64_t *at, struct gguf_string *out)
{
    struct cursor c = {.g = g, .at = *at, .end = g->size, .part = "string"};

    *out = take_string(&c, "a string", STRING_MAX);
    *at = c.at;
    return c.code == 0;
}
