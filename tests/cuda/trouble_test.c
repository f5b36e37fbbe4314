/* SPDX-License-Identifier: MIT
 * What goes wrong with devices, on an emulated machine that is made to fail: each way of having no GPU has its sentence, memory
 * that does not suffice costs nothing but the session that asked for it, and the first failure of a pass is the one that is
 * told. And what only an emulated machine shows: that the host keeps its hands off the device's memory, and that every launch
 * is counted. */
#include "backend_room.h"

#include "linked_plugin.h"
#include "team.h"

static struct emu_machine usual;

static int remember_machine(void **state)
{
    struct team team;

    (void)state;
    usual = emu_machine;
    return team_start(&team, 1, NULL, NULL);
}

static int put_machine_back(void **state)
{
    (void)state;
    emu_machine = usual;
    return 0;
}

/* --- no GPU ------------------------------------------------------------------------------------------------------------------
 */

static void assert_not_opened(int device, int code, const char *sentence)
{
    struct model_args a = {.source = "tiny-gpt2", .backend = "cuda", .device = device, .threads = 1, .seed = 1};
    struct model *m = NULL;
    struct err e = {0};

    assert_int_equal(model_open(&m, &a, &e), code);
    assert_non_null(strstr(e.text, sentence));
    assert_null(m);
}

static void a_machine_without_a_driver_is_told_to_get_one(void **unused)
{
    (void)unused;
    emu_machine.driver = 0;
    assert_not_opened(0, ERR_ABSENT, "there is no NVIDIA driver here; install one");
}

static void a_driver_that_is_too_old_is_named_with_what_is_needed(void **unused)
{
    (void)unused;
    emu_machine.driver = 11040;
    assert_not_opened(0, ERR_ABSENT, "the NVIDIA driver supports CUDA 11.4, this build needs 1");
    assert_not_opened(0, ERR_ABSENT, "update the driver");
}

static void a_driver_without_a_gpu_says_what_hides_them(void **unused)
{
    (void)unused;
    emu_machine.devices = 0;
    setenv("CUDA_VISIBLE_DEVICES", "7", 1);
    assert_not_opened(0, ERR_ABSENT, "backend cuda: CUDA sees no GPU; CUDA_VISIBLE_DEVICES is '7'");
    unsetenv("CUDA_VISIBLE_DEVICES");
}

static void a_device_that_there_is_not_is_refused_with_their_number(void **unused)
{
    (void)unused;
    assert_not_opened(1, ERR_USAGE, "--device 1: there is 1 GPU here, numbered from 0");
    emu_machine.devices = 2;
    assert_not_opened(5, ERR_USAGE, "--device 5: there are 2 GPUs here, numbered from 0");
    assert_not_opened(-1, ERR_USAGE, "--device -1: there are 2 GPUs here, numbered from 0");
}

static void a_gpu_that_is_too_old_is_named(void **unused)
{
    (void)unused;
    emu_machine.major = 7;
    emu_machine.minor = 5;
    assert_not_opened(0, ERR_ABSENT, "GPU 0 (Emulated GPU) has compute capability 7.5; backend cuda needs 8.0 or above");
}

/* --- memory ------------------------------------------------------------------------------------------------------------------
 */

static void weights_that_do_not_fit_are_refused_with_both_sizes(void **unused)
{
    (void)unused;
    emu_machine.memory = (32 << 20) + 60000; /* cublasLt's workspace takes the first */
    assert_not_opened(0, ERR_MEMORY, "tiny-gpt2: weights");
    emu_machine.memory = 64 << 20;
}

static void a_session_that_does_not_fit_costs_nothing(void **unused)
{
    struct model_config c = small_model(true);
    struct session_args large = {.batch = 16, .capacity = 250, .kv_cache = true},
                        small = {.batch = 1, .capacity = 8, .kv_cache = true};
    struct session *s = NULL;
    struct err e = {0};
    struct fixture f;

    (void)unused;
    fixture_open(&f, &c, &(struct way){.backend = "cuda"});
    double before = f.ops.available(f.model.backend);
    emu_machine.memory -= (size_t)before - 3000000;
    before = f.ops.available(f.model.backend);
    assert_int_equal(session_open(&s, &f.model, &large, &e), ERR_MEMORY);
    assert_non_null(strstr(e.text, "session of 16 x 250 tokens: "));
    assert_non_null(strstr(e.text, " are needed on GPU 0 (Emulated GPU), "));
    assert_non_null(strstr(e.text, " are free; take a smaller batch, context or dtype"));
    assert_null(s);
    assert_true(f.ops.available(f.model.backend) == before);
    s = session_of(&f, &small);
    prefill(s, some_prompt(&c, 1, 4), 4);
    decode(s);
    session_close(s);
    assert_true(f.ops.available(f.model.backend) == before);
    fixture_close(&f);
}

/* --- failures on the way
 * ------------------------------------------------------------------------------------------------------ */

static void the_first_failure_of_a_pass_is_told_and_the_next_pass_is_whole(void **unused)
{
    struct model_config c = small_model(false);
    struct session_args a = {.batch = 1, .capacity = 8, .kv_cache = true, .ignore_eos = true};
    int32_t expected = 0;

    (void)unused;
    for (enum launch l = 0; l < LAUNCH_COUNT; l++) {
        struct err e = {0};
        struct fixture f;
        fixture_open(&f, &c, &(struct way){.backend = "cuda"});
        a.launch = l;
        struct session *s = session_of(&f, &a);
        prefill(s, some_prompt(&c, 1, 4), 4);
        decode(s);
        expected = session_chosen(s)[0];
        prefill(s, some_prompt(&c, 1, 4), 4);
        emu_machine.failing = emu_machine.given + 3; /* of a graph any node, else its third: the first layer's attention */
        assert_int_equal(session_decode(s, &e), ERR_IO);
        assert_string_equal(e.text, l == LAUNCH_GRAPH
                                        ? "GPU 0 (Emulated GPU): replaying the decode step: unspecified launch failure"
                                        : "GPU 0 (Emulated GPU): attention: unspecified launch failure");
        emu_machine.failing = emu_machine.given + 1; /* its state does not arrive */
        assert_int_equal(session_prefill(s, some_prompt(&c, 1, 4), 4, &e), ERR_IO);
        assert_string_equal(e.text, "GPU 0 (Emulated GPU): its state: unspecified launch failure");
        prefill(s, some_prompt(&c, 1, 4), 4);
        decode(s);
        assert_int_equal(session_chosen(s)[0], expected);
        session_close(s);
        fixture_close(&f);
    }
}

static void a_recording_that_fails_is_a_session_that_does_not_open(void **unused)
{
    struct model_config c = small_model(false);
    struct session_args a = {.batch = 1, .capacity = 8, .kv_cache = true, .ignore_eos = true};
    struct session *s = NULL;
    struct err e = {0};
    struct fixture f;

    (void)unused;
    fixture_open(&f, &c, &(struct way){.backend = "cuda"});
    session_close(session_of(&f, &a));
    long all = emu_machine.given;
    session_close(session_of(&f, &a));
    all = emu_machine.given - all;
    emu_machine.failing = emu_machine.given + all - 1; /* near its end: the step that is run before it is recorded */
    assert_int_equal(session_open(&s, &f.model, &a, &e), ERR_IO);
    assert_non_null(strstr(e.text, "unspecified launch failure"));
    assert_null(s);
    fixture_close(&f);
}

/* --- host and device
 * ---------------------------------------------------------------------------------------------------------- */

static void run_apart(const struct model_config *c, const struct session_args *a, bool loaded)
{
    struct fixture f;

    fixture_open(&f, c, &(struct way){.backend = "cuda", .loaded = loaded});
    struct session *s = session_of(&f, a);
    prefill(s, some_prompt(c, a->batch, 4), 4);
    decode(s);
    decode(s);
    assert_non_null(session_logits(s));
    session_close(s);
    fixture_close(&f);
}

static void the_host_never_touches_the_devices_memory(void **unused)
{
    struct model_config models[] = {small_model(false), small_model(true)};

    (void)unused;
    emu_machine.apart = true;
    for (int i = 0; i < 5; i++) {
        struct session_args a = {.batch = i < 4 ? 2 : 10, .capacity = 8, .kv_cache = i % 4 != 0, .ignore_eos = true};
        a.sampling.beams = i % 4 == 3 ? 3 : 0;
        run_apart(&models[i % 2], &a, i % 4 < 2);
    }
}

static void every_kernel_copy_and_set_of_a_pass_is_counted(void **unused)
{
    (void)unused;
    for (int i = 0; i < 12; i++) {
        struct model_config c = small_model(i % 2);
        struct session_args a = {.batch = i % 4 < 2 ? 2 : 10,
                                 .capacity = 8,
                                 .launch = i % 8 < 4 ? LAUNCH_GRAPH : LAUNCH_EAGER,
                                 .attention = i % 3 == 0 ? ATTENTION_NAIVE : ATTENTION_FLASH,
                                 .kv_cache = i < 8,
                                 .ignore_eos = true};
        struct fixture f;
        a.sampling.repetition_penalty = i % 5 == 0 ? 1.5 : 0; /* the host chooses */
        fixture_open(&f, &c, &(struct way){.backend = "cuda", .dtype = i % 7 == 0 ? DTYPE_BF16 : DTYPE_F32});
        struct session *s = session_of(&f, &a);
        bool copies = a.sampling.repetition_penalty > 0; /* the logits of all sequences, after the pass */
        for (int step = 0; step < 3; step++) {
            long before = emu_machine.given;
            step == 0 ? prefill(s, some_prompt(&c, a.batch, 4), 4) : decode(s);
            assert_int_equal(emu_machine.given - before - (copies ? 1 : 0), session_launches(s));
        }
        session_close(s);
        fixture_close(&f);
    }
}

#define IT(test) cmocka_unit_test_setup_teardown(test, NULL, put_machine_back)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IT(a_machine_without_a_driver_is_told_to_get_one),
        IT(a_driver_that_is_too_old_is_named_with_what_is_needed),
        IT(a_driver_without_a_gpu_says_what_hides_them),
        IT(a_device_that_there_is_not_is_refused_with_their_number),
        IT(a_gpu_that_is_too_old_is_named),
        IT(weights_that_do_not_fit_are_refused_with_both_sizes),
        IT(a_session_that_does_not_fit_costs_nothing),
        IT(the_first_failure_of_a_pass_is_told_and_the_next_pass_is_whole),
        IT(a_recording_that_fails_is_a_session_that_does_not_open),
        IT(the_host_never_touches_the_devices_memory),
        IT(every_kernel_copy_and_set_of_a_pass_is_counted),
    };

    return cmocka_run_group_tests(tests, remember_machine, NULL);
}
