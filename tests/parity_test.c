/* SPDX-License-Identifier: MIT
 * Parity with an implementation that shares nothing with this one: tests/parity makes small models of every kind and says what
 * they must answer; each is opened as the folder and as the GGUF file that it was written to, on every backend that computes.
 */
#include "check.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/backend.h"
#include "reference_room.h"
#include "team.h"

struct room {
    char dir[256];
    json_t *models; /* [{name, gguf}] */
};

static void run(const char *script, const char *words)
{
    char command[1024];

    snprintf(command, sizeof command, "node tests/parity/%s %s", script, words);
    if (system(command) != 0)
        fail_msg("%s failed", command);
}

static struct model *open_model(const char *path, const char *backend)
{
    struct model_args args = {.source = path, .backend = backend, .threads = 1};
    struct model *m = NULL;
    struct err e = {0};

    if (model_open(&m, &args, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static void matches_on_every_backend(const char *path, const json_t *expected,
                                     void (*matches)(struct model *m, const json_t *expected))
{
    for (int i = 0; backends[i]; i++) {
        if (backends[i] == &backend_null || backends[i] == &backend_cuda)
            continue;
        struct model *m = open_model(path, backends[i]->name);
        matches(m, expected);
        model_close(m);
    }
}

static void family_matches(const struct room *room, const char *family)
{
    size_t i;
    json_t *model;
    int found = 0;

    json_array_foreach(room->models, i, model)
    {
        const char *name = json_string_value(json_object_get(model, "name"));
        char path[512], file[520];
        if (strncmp(name, family, strlen(family)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", room->dir, name);
        snprintf(file, sizeof file, "%s.gguf", path);
        json_t *expected = reference_load(path);
        matches_on_every_backend(path, expected, reference_matches);
        if (json_is_true(json_object_get(model, "gguf")))
            matches_on_every_backend(file, expected, reference_matches_briefly);
        json_decref(expected);
        found++;
    }
    assert_true(found >= 4);
}

static void the_other_implementation_answers_as_hugging_face_does(void **state)
{
    (void)state;
    run("check.mjs", "tests/data/reference/gpt2-a tests/data/reference/llama-mha tests/data/reference/llama-rope3 >/dev/null");
}

static void gpt2_answers_as_its_definition_says(void **state)
{
    family_matches(*state, "gpt2-");
}

static void llama_answers_as_its_definition_says(void **state)
{
    family_matches(*state, "llama-");
}

static void mistral_answers_as_its_definition_says(void **state)
{
    family_matches(*state, "mistral-");
}

static void qwen2_answers_as_its_definition_says(void **state)
{
    family_matches(*state, "qwen2-");
}

static int open_room(void **state)
{
    static struct room room;
    const char *tmp = getenv("TMPDIR");
    char path[512];
    struct team team;

    snprintf(room.dir, sizeof room.dir, "%s/parity_test_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(room.dir) || team_start(&team, 1, NULL, NULL) != 0)
        return -1;
    *state = &room;
    run("make.mjs", room.dir);
    snprintf(path, sizeof path, "%s/models.json", room.dir);
    room.models = json_load_file(path, 0, NULL);
    return room.models ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static int close_room(void **state)
{
    struct room *room = *state;

    json_decref(room->models);
    return nftw(room->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_implementation_answers_as_hugging_face_does),
        cmocka_unit_test(gpt2_answers_as_its_definition_says),
        cmocka_unit_test(llama_answers_as_its_definition_says),
        cmocka_unit_test(mistral_answers_as_its_definition_says),
        cmocka_unit_test(qwen2_answers_as_its_definition_says),
    };
    return cmocka_run_group_tests(tests, open_room, close_room);
}
