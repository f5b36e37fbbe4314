/* SPDX-License-Identifier: MIT
 * What a tool that listens to NVTX sees of passes: this program is such a tool. */
#include "linked_plugin.h"

#include <nvtx3/nvToolsExt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "team.h"

static char seen[4096]; /* "prefill(embed() qkv0() ...)" */
static int depth;

static void add(const char *text)
{
    snprintf(seen + strlen(seen), sizeof seen - strlen(seen), "%s", text);
}

static int push(const char *name)
{
    add(seen[0] && seen[strlen(seen) - 1] != '(' ? " " : "");
    add(name);
    add("(");
    return depth++;
}

static int push_text(const char *name)
{
    return push(name);
}

static int push_op(const nvtxEventAttributes_t *a)
{
    char name[64];

    assert_int_equal(a->messageType, NVTX_MESSAGE_TYPE_ASCII);
    snprintf(name, sizeof name, "%s", a->message.ascii);
    if (a->payloadType == NVTX_PAYLOAD_TYPE_INT32)
        snprintf(name + strlen(name), sizeof name - strlen(name), "%d", (int)a->payload.iValue);
    return push(name);
}

static int pop(void)
{
    add(")");
    return --depth;
}

static int listen(NvtxGetExportTableFunc_t table)
{
    const NvtxExportTableCallbacks *callbacks = table(NVTX_ETID_CALLBACKS);
    NvtxFunctionTable functions = NULL;
    unsigned n = 0;

    if (!callbacks || !callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &functions, &n))
        return 0;
    *functions[NVTX_CBID_CORE_RangePushA] = (NvtxFunctionPointer)push_text;
    *functions[NVTX_CBID_CORE_RangePushEx] = (NvtxFunctionPointer)push_op;
    *functions[NVTX_CBID_CORE_RangePop] = (NvtxFunctionPointer)pop;
    return 1;
}

static int start(void **state)
{
    struct team team;

    (void)state;
    emu_machine.idle = true;
    InitializeInjectionNvtx2_fnptr = listen; /* a place that NVTX leaves to tools that are linked with the program */
    return team_start(&team, 1, NULL, NULL);
}

static const char *watch(struct session *s, bool first)
{
    static const int32_t prompt[3];
    struct err e = {0};

    seen[0] = 0;
    if ((first ? session_prefill(s, prompt, 3, &e) : session_decode(s, &e)) < 0)
        fail_msg("%s", e.text);
    assert_int_equal(depth, 0);
    return seen;
}

static void assert_watched(struct session_args a, const char *prefill, const char *decode)
{
    struct model_args args = {.source = "tiny-gpt2", .backend = "cuda", .threads = 1, .seed = 1};
    struct model *m = NULL;
    struct session *s = NULL;
    struct err e = {0};

    a.batch = 1, a.capacity = 8, a.kv_cache = true, a.ignore_eos = true;
    if (model_open(&m, &args, &e) < 0 || session_open(&s, m, &a, &e) < 0)
        fail_msg("%s", e.text);
    assert_string_equal(watch(s, true), prefill);
    assert_string_equal(watch(s, false), decode);
    session_close(s);
    model_close(m);
}

#define OPS "embed() qkv0() attention0() out0() mlp0() qkv1() attention1() out1() mlp1() head() sample()"

static void a_pass_is_a_range_with_its_ops_and_a_recorded_step_one_without(void **state)
{
    (void)state;
    assert_watched((struct session_args){.launch = LAUNCH_EAGER}, "prefill(" OPS ")", "decode(" OPS ")");
    assert_watched((struct session_args){.launch = LAUNCH_GRAPH}, "prefill(" OPS ")", "decode()");
}

static void note_nothing(void *ctx, enum op op, int layer)
{
    (void)ctx, (void)op, (void)layer;
}

/* Whoever takes times there must not be told another's. */
static void passes_in_pieces_have_none(void **state)
{
    (void)state;
    assert_watched((struct session_args){.hooks = {.op_begin = note_nothing, .parts = true}}, "", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_is_a_range_with_its_ops_and_a_recorded_step_one_without),
        cmocka_unit_test(passes_in_pieces_have_none),
    };

    return cmocka_run_group_tests(tests, start, NULL);
}
