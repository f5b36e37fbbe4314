/* SPDX-License-Identifier: MIT
 * A suite's YAML, with and without its quick section; its cells are then planned. */
#include "fuzz_room.h"

#include "suite.h"

static void read_suite(const char *path, const char *const *overrides, bool quick)
{
    struct suite s = {0};
    struct cell cells[TRIALS_MAX];
    int count = 0, order[TRIALS_MAX];
    struct err e = {0};

    if (fuzz_taken(suite_read(&s, path, overrides, quick, &e), &e) &&
        fuzz_taken(suite_cells(&s, cells, TRIALS_MAX, &count, &e), &e)) {
        MUST(count >= 1 && count <= TRIALS_MAX);
        suite_order(order, count, 1, 0);
    }
    suite_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const overrides[] = {"workload.batch=2", "matrix.kv_cache=[on, off]", NULL};
    char path[512];

    snprintf(path, sizeof path, "%s/x.yaml", fuzz_put_in_folder("x.yaml", data, size));
    read_suite(path, NULL, false);
    read_suite(path, overrides, true);
    return 0;
}
