/* SPDX-License-Identifier: MIT
 * Shapes: presets are the published models, impossible configs are refused in words, and the weights' layout holds every
 * parameter exactly once. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "config.h"
#include "model.h"

static struct model_config preset(const char *name)
{
    struct model_config c;
    struct err e = {0};

    assert_int_equal(config_preset(&c, name, &e), 0);
    assert_string_equal(c.name, name);
    return c;
}

/* --- presets ------------------------------------------------------------------------------------------------------------- */

/* Counts of the published checkpoints; chinese-llama-2-7b differs from llama-2-7b by its vocabulary alone. */
static void presets_have_the_published_number_of_parameters(void **state)
{
    static const struct {
        const char *name;
        uint64_t parameters;
    } published[] = {
        {"distilgpt2", 81912576},    {"gpt2", 124439808},
        {"smollm2-135m", 134515008}, {"tinyllama-1.1b", 1100048384},
        {"llama-2-7b", 6738415616},  {"chinese-llama-2-7b", 6738415616 + 2 * 4096 * (40076 - 32000)},
        {"llama-3-8b", 8030261248},
    };

    (void)state;
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        struct model_config c = preset(published[i].name);
        assert_int_equal(config_parameters(&c), published[i].parameters);
    }
}

static void every_preset_passes_its_own_check(void **state)
{
    struct err e = {0};
    int n = 0;

    (void)state;
    for (; config_presets[n]; n++) {
        struct model_config c = preset(config_presets[n]);
        assert_int_equal(config_check(&c, &e), 0);
    }
    assert_int_equal(n, 9);
}

static void tiny_presets_cover_both_families_and_grouped_heads(void **state)
{
    struct model_config gpt2 = preset("tiny-gpt2"), llama = preset("tiny-llama");

    (void)state;
    assert_string_equal(gpt2.arch, "gpt2");
    assert_int_equal(gpt2.vocab, 50257);
    assert_true(gpt2.tied_head && gpt2.qkv_bias && gpt2.out_bias && gpt2.mlp_bias);
    assert_string_equal(llama.arch, "llama");
    assert_true(llama.kv_heads > 1 && llama.kv_heads < llama.heads);
    assert_false(llama.tied_head || llama.qkv_bias || llama.out_bias || llama.mlp_bias);
    assert_true(config_parameters(&gpt2) < 4000000 && config_parameters(&llama) < 4000000);
}

static void a_misspelt_preset_is_answered_with_the_nearest_name(void **state)
{
    struct model_config c;
    struct err e = {0};

    (void)state;
    assert_int_equal(config_preset(&c, "distilgpt-2", &e), ERR_USAGE);
    assert_string_equal(e.text, "no preset 'distilgpt-2'; did you mean 'distilgpt2'?");
    assert_int_equal(config_preset(&c, "mixtral", &e), ERR_USAGE);
    assert_string_equal(e.text, "no preset 'mixtral'; there are distilgpt2, gpt2, smollm2-135m, tinyllama-1.1b, llama-2-7b, "
                                "chinese-llama-2-7b, llama-3-8b, tiny-gpt2, tiny-llama; a folder is named with a '/'");
}

static void kv_bytes_follow_the_formula(void **state)
{
    struct model_config distil = preset("distilgpt2"), llama2 = preset("llama-2-7b"), llama3 = preset("llama-3-8b");

    (void)state;
    assert_int_equal(config_kv_bytes(&distil, 1, 1, 4), 9216 * 4);
    assert_int_equal(config_kv_bytes(&distil, 1, 13, 4), 479232);
    assert_int_equal(config_kv_bytes(&llama2, 1, 1, 2), 524288);
    assert_int_equal(config_kv_bytes(&llama3, 2, 1, 2), 2 * 131072);
}

static void kv_bytes_beyond_64_bits_never_look_small(void **state)
{
    struct model_config c = preset("llama-2-7b");

    (void)state;
    assert_true(config_kv_bytes(&c, INT_MAX, INT_MAX, 2) == UINT64_MAX);
}

/* --- limits -------------------------------------------------------------------------------------------------------------- */

static void set_layers(struct model_config *c)
{
    c->layers = 0;
}
static void set_d_model(struct model_config *c)
{
    c->d_model = 65537;
}
static void set_one_column(struct model_config *c)
{
    c->d_model = 1;
}
static void set_heads(struct model_config *c)
{
    c->heads = -4;
}
static void set_kv_heads(struct model_config *c)
{
    c->kv_heads = 5;
}
static void set_odd_head(struct model_config *c)
{
    c->head_dim = 63;
}
static void set_d_ff(struct model_config *c)
{
    c->d_ff = INT_MAX;
}
static void set_vocab(struct model_config *c)
{
    c->vocab = (1 << 24) + 1;
}
static void set_context(struct model_config *c)
{
    c->context = INT_MIN;
}
static void set_eps_zero(struct model_config *c)
{
    c->norm_eps = 0;
}
static void set_eps_nan(struct model_config *c)
{
    c->norm_eps = NAN;
}
static void set_theta(struct model_config *c)
{
    c->rope_theta = -1;
}
static void set_theta_inf(struct model_config *c)
{
    c->rope_theta = INFINITY;
}
static void set_bos(struct model_config *c)
{
    c->bos = -2;
}
static void set_eos(struct model_config *c)
{
    c->eos[1] = c->vocab;
    c->eos_count = 2;
}
static void set_negative_eos(struct model_config *c)
{
    c->eos[0] = -1;
}
static void set_eos_count(struct model_config *c)
{
    c->eos_count = EOS_MAX + 1;
}
static void set_window(struct model_config *c)
{
    c->window = -1;
}
static void set_window_first(struct model_config *c)
{
    c->window = 8, c->window_first = -2;
}

static void set_linear(struct model_config *c)
{
    c->rope = (struct rope_scaling){.kind = ROPE_LINEAR, .factor = 0.5};
}

static void set_bands(struct model_config *c)
{
    c->rope = (struct rope_scaling){
        .kind = ROPE_LLAMA3, .factor = 8, .low_freq_factor = 4, .high_freq_factor = 1, .original_context = 64};
}

static void set_original(struct model_config *c)
{
    c->rope = (struct rope_scaling){
        .kind = ROPE_LLAMA3, .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4, .original_context = 8193};
}

static void an_impossible_number_is_refused_by_its_name_in_the_file(void **state)
{
    static const struct {
        const char *preset;
        void (*set)(struct model_config *c);
        const char *sentence;
    } cases[] = {
        {"gpt2", set_layers, "n_layer 0: expected 1 to 1024"},
        {"llama-3-8b", set_layers, "num_hidden_layers 0: expected 1 to 1024"},
        {"gpt2", set_d_model, "n_embd 65537: expected 2 to 65536"},
        {"llama-3-8b", set_one_column, "hidden_size 1: expected 2 to 65536"},
        {"gpt2", set_heads, "n_head -4: expected 1 to 1024"},
        {"llama-3-8b", set_heads, "num_attention_heads -4: expected 1 to 1024"},
        {"llama-3-8b", set_kv_heads, "num_key_value_heads 5: expected a divisor of num_attention_heads (32)"},
        {"llama-3-8b", set_odd_head, "head_dim 63: expected an even number for rotary positions"},
        {"gpt2", set_d_ff, "n_inner 2147483647: expected 2 to 1048576"},
        {"llama-3-8b", set_d_ff, "intermediate_size 2147483647: expected 2 to 1048576"},
        {"gpt2", set_vocab, "vocab_size 16777217: expected 2 to 16777216"},
        {"llama-3-8b", set_context, "max_position_embeddings -2147483648: expected 1 to 16777216"},
        {"gpt2", set_eps_zero, "layer_norm_epsilon 0: expected a positive number"},
        {"llama-3-8b", set_eps_nan, "rms_norm_eps nan: expected a positive number"},
        {"llama-3-8b", set_theta, "rope_theta -1: expected a positive number"},
        {"llama-3-8b", set_theta_inf, "rope_theta inf: expected a positive number"},
        {"llama-3-8b", set_linear, "rope_scaling.factor 0.5: expected 1 or more"},
        {"llama-3-8b", set_bands, "rope_scaling.low_freq_factor 4, high_freq_factor 1: expected 0 < low < high"},
        {"llama-3-8b", set_original,
         "rope_scaling.original_max_position_embeddings 8193: expected 1 to max_position_embeddings (8192)"},
        {"gpt2", set_bos, "bos_token_id -2: expected an id below vocab_size (50257)"},
        {"gpt2", set_eos, "eos_token_id 50257: expected an id below vocab_size (50257)"},
        {"gpt2", set_negative_eos, "eos_token_id -1: expected an id below vocab_size (50257)"},
        {"gpt2", set_eos_count, "eos_token_id: expected at most 8 ids"},
        {"llama-3-8b", set_window, "sliding_window -1 from layer 0: expected positive numbers"},
        {"llama-3-8b", set_window_first, "sliding_window 8 from layer -2: expected positive numbers"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct model_config c = preset(cases[i].preset);
        struct err e = {0};
        cases[i].set(&c);
        assert_int_equal(config_check(&c, &e), ERR_FORMAT);
        assert_string_equal(e.text, cases[i].sentence);
    }
}

static void a_window_limits_what_its_layers_see(void **state)
{
    struct model_config c = preset("tiny-llama");

    (void)state;
    assert_int_equal(config_visible(&c, 2, 1000), 1000);
    c.window = 4, c.window_first = 1;
    assert_int_equal(config_visible(&c, 0, 1000), 1000);
    assert_int_equal(config_visible(&c, 1, 3), 3);
    assert_int_equal(config_visible(&c, 1, 4), 4);
    assert_int_equal(config_visible(&c, 2, 5), 4);
}

static void odd_heads_are_fine_without_rotary_positions(void **state)
{
    struct model_config c = preset("gpt2");
    struct err e = {0};

    (void)state;
    c.head_dim = 63;
    assert_int_equal(config_check(&c, &e), 0);
}

static void the_largest_config_allowed_is_refused_for_want_of_memory_not_miscounted(void **state)
{
    struct model_config c = preset("llama-3-8b");
    struct weights w;
    struct err e = {0};

    (void)state;
    c.layers = 1024, c.d_model = 65536, c.heads = c.kv_heads = c.head_dim = 1024, c.d_ff = 1 << 20;
    c.vocab = c.context = 1 << 24;
    assert_int_equal(config_check(&c, &e), 0);
    /* per layer 3 qkv + out, gate + up + down of 2^36 each, two norms; then embedding, head and the last norm */
    assert_int_equal(config_parameters(&c), 1024 * (7 * (UINT64_C(1) << 36) + 2 * 65536) + 2 * (UINT64_C(1) << 40) + 65536);
    assert_int_equal(weights_alloc(&w, &c, DTYPE_F32, &e), ERR_MEMORY);
    assert_non_null(strstr(e.text, "1.98 PB wanted"));
    assert_null(w.pages);
}

/* --- layout -------------------------------------------------------------------------------------------------------------- */

struct census {
    const struct weights *w;
    uint64_t elements;
    int slots, stop_at;
    struct tensor_slot last;
};

static int count_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct census *n = ctx;
    const char *mapping = n->w->pages;
    size_t size = (size_t)slot->to.rows * (size_t)slot->to.cols;

    (void)e;
    for (int r = 0; r < slot->to.rows; r++) {
        float *row = matrix_row(&slot->to, r);
        assert_true((char *)row >= mapping && (char *)(row + slot->to.cols) <= mapping + n->w->bytes);
        for (int i = 0; i < slot->to.cols; i++) {
            assert_true(row[i] == 0); /* fresh, and in no earlier tensor */
            row[i] = 1;
        }
    }
    n->elements += size;
    n->last = *slot;
    return ++n->slots == n->stop_at ? -77 : 0;
}

static void check_layout(struct model_config c, int slots_per_layer, int other_slots)
{
    struct weights w;
    struct err e = {0};

    assert_int_equal(weights_alloc(&w, &c, DTYPE_F32, &e), 0);
    struct census n = {.w = &w};
    assert_int_equal(weights_visit(&w, &c, count_slot, &n, &e), 0);
    assert_int_equal(n.elements, config_parameters(&c));
    assert_int_equal(n.slots, c.layers * slots_per_layer + other_slots);
    assert_ptr_equal(c.tied_head ? w.head.data : w.embed.data, w.embed.data);
    assert_int_equal((uintptr_t)w.layers[c.layers - 1].down.data % 64, 0);
    assert_int_equal((uintptr_t)w.norm_w % 64, 0);
    weights_free(&w);
    assert_null(w.pages);
}

static void the_layout_holds_every_parameter_once(void **state)
{
    struct model_config gpt2 = preset("tiny-gpt2"), llama = preset("tiny-llama");

    (void)state;
    gpt2.vocab = 300, gpt2.context = 30, gpt2.bos = -1, gpt2.eos_count = 0;
    check_layout(gpt2, 12, 4);
    check_layout(llama, 9, 3);
    gpt2.tied_head = false;
    check_layout(gpt2, 12, 5);
    llama.tied_head = true;
    check_layout(llama, 9, 2);
    llama.qkv_bias = llama.out_bias = llama.mlp_bias = true;
    check_layout(llama, 16, 2);
    llama.norm = NORM_LAYER, llama.mlp = MLP_GELU_TANH;
    check_layout(llama, 16, 3);
}

static void stacked_matrices_are_visited_part_by_part(void **state)
{
    static const char *const names[] = {"q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"};
    struct model_config c = preset("tiny-llama");
    struct weights w;
    struct err e = {0};
    int q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;

    (void)state;
    assert_int_equal(weights_alloc(&w, &c, DTYPE_F32, &e), 0);
    const struct layer_weights *l = &w.layers[0];
    const void *at[] = {l->qkv.data, matrix_row(&l->qkv, q), matrix_row(&l->qkv, q + kv), l->up.data,
                        matrix_row(&l->up, c.d_ff)};
    const int rows[] = {q, kv, kv, c.d_ff, c.d_ff}, slot[] = {3, 4, 5, 8, 9};

    for (int i = 0; i < 5; i++) {
        struct census n = {.w = &w, .stop_at = slot[i]};
        memset(w.embed.data, 0, w.bytes - (size_t)((char *)w.embed.data - (char *)w.pages));
        assert_int_equal(weights_visit(&w, &c, count_slot, &n, &e), -77); /* a visitor's answer stops the visit */
        assert_int_equal(n.slots, slot[i]);
        assert_non_null(strstr(n.last.name, names[i]));
        assert_ptr_equal(n.last.to.data, at[i]);
        assert_int_equal(n.last.to.rows, rows[i]);
        assert_int_equal(n.last.to.cols, c.d_model);
        assert_false(n.last.transposed);
    }
    weights_free(&w);
}

static void gpt2_matrices_of_a_layer_are_transposed_in_files(void **state)
{
    struct model_config c = preset("tiny-gpt2");
    struct weights w;
    struct err e = {0};

    (void)state;
    c.vocab = 300, c.context = 30, c.bos = -1, c.eos_count = 0;
    assert_int_equal(weights_alloc(&w, &c, DTYPE_F32, &e), 0);
    struct census n = {.w = &w, .stop_at = 5};
    assert_int_equal(weights_visit(&w, &c, count_slot, &n, &e), -77);
    assert_string_equal(n.last.name, "h.0.attn.c_attn.weight");
    assert_ptr_equal(n.last.to.data, w.layers[0].qkv.data);
    assert_int_equal(n.last.to.rows, 3 * 64);
    assert_int_equal(n.last.to.cols, 64);
    assert_true(n.last.transposed);
    weights_free(&w);
}

struct listing {
    struct tensor_slot slots[64];
    int n;
};

static int keep_slot(void *ctx, const struct tensor_slot *slot, struct err *e)
{
    struct listing *p = ctx;

    (void)e;
    assert_non_null(slot->to.data);
    p->slots[p->n++] = *slot;
    return 0;
}

static void a_plan_shows_the_same_tensors_without_the_memory(void **state)
{
    struct model_config c = preset("tiny-llama");
    struct listing planned = {.n = 0}, real = {.n = 0};
    struct weights plan, w;
    struct err e = {0};

    (void)state;
    assert_int_equal(weights_plan(&plan, &c, DTYPE_F32, &e), 0);
    assert_int_equal(weights_alloc(&w, &c, DTYPE_F32, &e), 0);
    assert_null(plan.pages);
    assert_int_equal(plan.bytes, w.bytes);
    weights_visit(&plan, &c, keep_slot, &planned, &e);
    weights_visit(&w, &c, keep_slot, &real, &e);
    assert_int_equal(planned.n, real.n);
    for (int i = 0; i < real.n; i++) {
        assert_string_equal(planned.slots[i].name, real.slots[i].name);
        assert_true(planned.slots[i].to.rows == real.slots[i].to.rows && planned.slots[i].to.cols == real.slots[i].to.cols);
    }
    weights_free(&plan);
    weights_free(&w);
    c = preset("llama-2-7b");
    c.layers = 1024; /* more than the machine has */
    assert_int_equal(weights_plan(&plan, &c, DTYPE_F32, &e), 0);
    weights_free(&plan);
}

static void weights_are_not_allocated_for_a_config_that_fails_its_check(void **state)
{
    struct model_config c = preset("tiny-llama");
    struct weights w = {.bytes = 1};
    struct err e = {0};

    (void)state;
    c.layers = INT_MAX;
    assert_int_equal(weights_alloc(&w, &c, DTYPE_F32, &e), ERR_FORMAT);
    assert_int_equal(w.bytes, 0);
    weights_free(&w); /* harmless */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_published_number_of_parameters),
        cmocka_unit_test(every_preset_passes_its_own_check),
        cmocka_unit_test(tiny_presets_cover_both_families_and_grouped_heads),
        cmocka_unit_test(a_misspelt_preset_is_answered_with_the_nearest_name),
        cmocka_unit_test(kv_bytes_follow_the_formula),
        cmocka_unit_test(kv_bytes_beyond_64_bits_never_look_small),
        cmocka_unit_test(an_impossible_number_is_refused_by_its_name_in_the_file),
        cmocka_unit_test(a_window_limits_what_its_layers_see),
        cmocka_unit_test(odd_heads_are_fine_without_rotary_positions),
        cmocka_unit_test(the_largest_config_allowed_is_refused_for_want_of_memory_not_miscounted),
        cmocka_unit_test(the_layout_holds_every_parameter_once),
        cmocka_unit_test(stacked_matrices_are_visited_part_by_part),
        cmocka_unit_test(gpt2_matrices_of_a_layer_are_transposed_in_files),
        cmocka_unit_test(a_plan_shows_the_same_tensors_without_the_memory),
        cmocka_unit_test(weights_are_not_allocated_for_a_config_that_fails_its_check),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
