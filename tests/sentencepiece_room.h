/* SPDX-License-Identifier: MIT
 * Two SentencePiece models, trained by spm_train on a few sentences, and a folder, for the tests of SentencePiece. Included
 * once by each program that needs it, after check.h. */
#ifndef BENCH_SENTENCEPIECE_ROOM_H
#define BENCH_SENTENCEPIECE_ROOM_H

#include "token_room.h"

#define SPACE "\u2581"

enum { TEXTS = 2000, PIECES = 420, UNKNOWN = 0, BOS = 1, EOS = 2, TOOL = 3, FIRST_BYTE = 4, FIRST_NORMAL = 260 };

struct room {
    char *dir;               /* for a test's own files */
    char *bpe_dir, *uni_dir; /* each with a tokenizer.model */
    struct tokenizer *bpe;   /* byte fallback, text as it is, the user-defined <tool>: like LLaMA's */
    struct tokenizer *uni;   /* unigram, spm_train's own normalizer, no byte fallback */
    struct text vocab;       /* of bpe, as spm_export_vocab prints it, cut into strings */
    struct token_bytes piece[PIECES];
    float score[PIECES];
    int32_t type[PIECES];
};

/* --- training --- */

static const char corpus[] = "The cat sat on the mat, and the rat ate the hat.\n"
                             "我喜欢攀岩，也喜欢看书。今天天气很好，我们去攀岩吧。\n"
                             "Prefill and decode are the two phases of inference; batching improves utilization.\n"
                             "Что делает кошка? Кошка сидит на ковре.\n"
                             "def decode(self, tokens):    return [self.table[t] for t in tokens]\n";

static inline void run(const char *format, const char *a, const char *b)
{
    struct text command = {0};

    text_printf(&command, format, a, b);
    if (system(command.data) != 0)
        fail_msg("failed: %s", command.data);
    text_free(&command);
}

static inline struct tokenizer *train(const char *dir, const char *options)
{
    struct text text = {0};

    for (int i = 0; i < 40; i++)
        text_printf(&text, "%s%d ", corpus, i);
    put_file(dir, "corpus", text.data, text.len);
    text_free(&text);
    run("cd %s && spm_train --input=corpus --model_prefix=tokenizer --num_threads=1 --character_coverage=1.0 %s 2>log >log",
        dir, options);
    return open_dir(dir);
}

/* The pieces, scores and types of room->bpe, from what spm_export_vocab says and what train asked for. */
static inline void read_pieces(struct room *room)
{
    char path[1024], *rest, *line;
    int id = 0;

    run("spm_export_vocab --model=%s/tokenizer.model --output=%s/exported", room->bpe_dir, room->bpe_dir);
    assert_int_equal(text_read_file(&room->vocab, in_room(room->bpe_dir, "exported", path), 1 << 20, NULL), 0);
    for (rest = room->vocab.data; (line = strsep(&rest, "\n")) && *line; id++) {
        char *tab = strchr(line, '\t');
        room->piece[id] = (struct token_bytes){line, (size_t)(tab - line)};
        room->score[id] = strtof(tab + 1, NULL);
        room->type[id] = id >= FIRST_NORMAL ? TOKEN_NORMAL
                         : id >= FIRST_BYTE ? TOKEN_BYTE
                         : id == UNKNOWN    ? TOKEN_UNKNOWN
                         : id == TOOL       ? TOKEN_USER_DEFINED
                                            : TOKEN_CONTROL;
        *tab = 0;
    }
    assert_int_equal(id, PIECES);
}

static inline int32_t piece_id(const struct room *room, const char *piece)
{
    int32_t id = FIRST_NORMAL;

    while (id < PIECES - 1 && strcmp(room->piece[id].data, piece) != 0)
        id++;
    return id;
}

/* Characters of all blocks and broken UTF-8, in one line. */
static inline void random_line(uint64_t *seed, struct text *out)
{
    size_t begin = out->len;

    random_text(seed, out);
    for (uint32_t n = below(seed, 6); n > 0; n--) {
        uint32_t c = 0x80 + below(seed, below(seed, 2) ? 0x10ff00 : 0xff00);
        if (c < 0xd800 || c > 0xdfff)
            add_utf8(out, c);
    }
    if (below(seed, 8) == 0)
        text_add(out, (char[]){(char)(0x80 + below(seed, 128)), (char)below(seed, 256)}, 2);
    for (size_t i = begin; i < out->len; i++)
        if (out->data[i] == '\n' || out->data[i] == 0)
            out->data[i] = ' ';
}

/* On random text, with user-defined tokens in it. */
static inline void assert_agree_on_random_text(const struct tokenizer *a, const struct tokenizer *b, uint64_t seed, int texts,
                                               const char *tool)
{
    struct text text = {0};

    for (int i = 0; i < texts; i++) {
        text.len = 0;
        random_line(&seed, &text);
        if (below(&seed, 4) == 0)
            text_puts(&text, tool);
        random_line(&seed, &text);
        assert_agree(a, b, text.data, text.len);
    }
    text_free(&text);
}

static inline int open_room(void **state)
{
    struct room *room = calloc(1, sizeof *room);

    *state = room;
    room->dir = room_open();
    room->bpe_dir = room_open();
    room->uni_dir = room_open();
    room->bpe = train(room->bpe_dir, "--model_type=bpe --byte_fallback --vocab_size=420 --user_defined_symbols='<tool>' "
                                     "--normalization_rule_name=identity --remove_extra_whitespaces=false");
    room->uni = train(room->uni_dir, "--model_type=unigram --vocab_size=110 --hard_vocab_limit=false");
    read_pieces(room);
    return 0;
}

static inline int remove_files(void **state)
{
    room_empty((*(struct room **)state)->dir);
    return 0;
}

static inline int close_room(void **state)
{
    struct room *room = *state;

    tokenizer_close(room->bpe);
    tokenizer_close(room->uni);
    room_close(room->dir);
    room_close(room->bpe_dir);
    room_close(room->uni_dir);
    text_free(&room->vocab);
    free(room);
    return 0;
}

#endif
