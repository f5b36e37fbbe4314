/* SPDX-License-Identifier: MIT
 * Writes the few fields of sentencepiece_model.proto that decide how text is encoded, in protobuf's wire format: a field is its
 * number and kind in one varint, then a varint, four bytes, or a length and that many bytes. Numbers are from that file. */
#include <stdio.h>
#include <string.h>

#include "spm.h"

enum { VARINT = 0, BYTES = 2, FIXED32 = 5 };

enum {
    MODEL_PIECES = 1,
    MODEL_TRAINER = 2,
    PIECE_PIECE = 1,
    PIECE_SCORE = 2,
    PIECE_TYPE = 3,
    TRAINER_MODEL_TYPE = 3,
    TRAINER_BYTE_FALLBACK = 35,
    NORMALIZER_NAME = 1,
    NORMALIZER_DUMMY_PREFIX = 3,
    NORMALIZER_EXTRA_SPACES = 4,
    NORMALIZER_ESCAPE_SPACES = 5,
};

enum { MODEL_TYPE_BPE = 2 };

static void put_varint(struct text *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        text_add(out, &(char){(char)(0x80 | (value & 0x7f))}, 1);
    text_add(out, &(char){(char)value}, 1);
}

static void put_number(struct text *out, unsigned field, uint64_t value)
{
    put_varint(out, field << 3 | VARINT);
    put_varint(out, value);
}

static void put_bytes(struct text *out, unsigned field, const char *bytes, size_t len)
{
    put_varint(out, field << 3 | BYTES);
    put_varint(out, len);
    text_add(out, bytes, len);
}

static void put_float(struct text *out, unsigned field, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    put_varint(out, field << 3 | FIXED32);
    for (int shift = 0; shift < 32; shift += 8) /* little-endian everywhere */
        text_add(out, &(char){(char)(bits >> shift)}, 1);
}

void spm_proto_piece(struct text *proto, const char *piece, size_t len, float score, enum token_type type)
{
    struct text message = {0};

    put_bytes(&message, PIECE_PIECE, piece, len);
    put_float(&message, PIECE_SCORE, score);
    put_number(&message, PIECE_TYPE, (uint64_t)type); /* enum token_type has the file's own values */
    put_bytes(proto, MODEL_PIECES, message.data, message.len);
    text_free(&message);
}

void spm_proto_filler(struct text *proto, int32_t id, enum token_type type)
{
    char name[32];

    spm_proto_piece(proto, name, (size_t)snprintf(name, sizeof name, "<no token %d>", id), 0, type);
}

void spm_proto_end(struct text *proto, bool bytes, bool space_in_front)
{
    struct text message = {0};

    put_number(&message, TRAINER_MODEL_TYPE, MODEL_TYPE_BPE);
    put_number(&message, TRAINER_BYTE_FALLBACK, bytes);
    put_bytes(proto, MODEL_TRAINER, message.data, message.len);
    text_free(&message);
    put_bytes(&message, NORMALIZER_NAME, "identity", strlen("identity"));
    put_number(&message, NORMALIZER_DUMMY_PREFIX, space_in_front);
    put_number(&message, NORMALIZER_EXTRA_SPACES, false);
    put_number(&message, NORMALIZER_ESCAPE_SPACES, true);
    put_bytes(proto, SPM_MODEL_NORMALIZER, message.data, message.len);
    text_free(&message);
}
