/* SPDX-License-Identifier: MIT
 * libsentencepiece behind the functions of spm.h: its statuses and whatever it throws become errors, nothing else is added. */
#include <sentencepiece_processor.h>

#include <exception>
#include <new>
#include <vector>

extern "C" {
#include "spm.h"
}

struct spm_model {
    sentencepiece::SentencePieceProcessor processor;
};

/* The error for the exception being handled. */
static int caught(struct err *e)
{
    try {
        throw;
    } catch (const std::bad_alloc &) {
        return err_set(e, ERR_MEMORY, "out of memory in libsentencepiece");
    } catch (const std::exception &x) {
        return err_set(e, ERR_FORMAT, "libsentencepiece: %s", x.what());
    } catch (...) {
        return err_set(e, ERR_FORMAT, "libsentencepiece: an exception without a name");
    }
}

int spm_model_open(struct spm_model **out, const char *proto, size_t len, struct err *e)
{
    struct spm_model *m = nullptr;
    try {
        m = new spm_model;
        const auto status = m->processor.LoadFromSerializedProto(std::string_view(proto, len));
        if (status.ok()) {
            *out = m;
            return 0;
        }
        err_set(e, ERR_FORMAT, "libsentencepiece: %s", status.error_message());
    } catch (...) {
        caught(e);
    }
    delete m;
    return e ? e->code : ERR_FORMAT;
}

void spm_model_close(struct spm_model *m)
{
    delete m;
}

int spm_model_size(const struct spm_model *m)
{
    return m->processor.GetPieceSize();
}

struct token_bytes spm_model_piece(const struct spm_model *m, int id, enum token_type *type)
{
    const auto &p = m->processor;
    const std::string &piece = p.IdToPiece(id);

    *type = p.IsUnknown(id)   ? TOKEN_UNKNOWN
            : p.IsControl(id) ? TOKEN_CONTROL
            : p.IsUnused(id)  ? TOKEN_UNUSED
            : p.IsByte(id)    ? TOKEN_BYTE
                              : TOKEN_NORMAL;
    return {piece.data(), piece.size()};
}

int spm_model_encode(const struct spm_model *m, const char *text, size_t len, struct ids *out, struct err *e)
{
    try {
        std::vector<int> ids;
        const auto status = m->processor.Encode(std::string_view(text, len), &ids);
        if (!status.ok())
            return err_set(e, ERR_FORMAT, "libsentencepiece: %s", status.error_message());
        for (int id : ids)
            if (int code = ids_put(out, id, e); code < 0)
                return code;
        return 0;
    } catch (...) {
        return caught(e);
    }
}
