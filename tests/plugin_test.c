/* SPDX-License-Identifier: MIT
 * Plug-ins: looked for beside the program alone, and each way of having none has its sentence. */
#include "check.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

static char folder[PATH_MAX], name[64], path[PATH_MAX + sizeof name];

static int find_folder(void **state)
{
    ssize_t n = readlink("/proc/self/exe", folder, sizeof folder - 1);

    (void)state;
    if (n <= 0)
        return -1;
    folder[n] = 0;
    *strrchr(folder, '/') = 0;
    snprintf(name, sizeof name, "libplugin_test_%d.so", (int)getpid());
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return 0;
}

static int remove_plugin(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static void assert_absent(const char *symbol, const char *sentence)
{
    struct err e = {0};

    assert_null(plugin_symbol(name, symbol, &e));
    assert_int_equal(e.code, ERR_ABSENT);
    assert_non_null(strstr(e.text, name));
    assert_non_null(strstr(e.text, sentence));
}

static void a_plugin_that_was_not_built_is_absent_with_what_would_make_one(void **state)
{
    (void)state;
    assert_absent("table", "this build has no plug-in");
    assert_absent("table", folder);
    assert_absent("table", "build with CUDA=1");
}

static void a_file_that_is_no_library_is_absent_with_the_loaders_reason(void **state)
{
    FILE *f = fopen(path, "w");

    (void)state;
    assert_non_null(f);
    for (int i = 0; i < 100; i++)
        fputs("not a library, whatever its name\n", f);
    fclose(f);
    assert_absent("table", "invalid ELF header");
    assert_absent("table", "LD_LIBRARY_PATH");
}

/* The C library itself, under another name: it is a library, and it is here. */
static void place_a_library(void)
{
    Dl_info libc;

    assert_true(dladdr((void *)(uintptr_t)qsort, &libc) != 0);
    assert_int_equal(symlink(libc.dli_fname, path), 0);
}

static void a_library_beside_the_program_gives_its_symbols(void **state)
{
    struct err e = {0};

    (void)state;
    place_a_library();
    assert_ptr_equal(plugin_symbol(name, "qsort", &e), (void *)(uintptr_t)qsort);
    assert_ptr_equal(plugin_symbol(name, "qsort", &e), (void *)(uintptr_t)qsort);
    assert_int_equal(e.code, 0);
}

static void a_library_without_the_symbol_is_of_another_version(void **state)
{
    (void)state;
    place_a_library();
    assert_absent("bench_no_such_table", "has no bench_no_such_table: it is of another version");
}

#define IT(test) cmocka_unit_test_teardown(test, remove_plugin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IT(a_plugin_that_was_not_built_is_absent_with_what_would_make_one),
        IT(a_file_that_is_no_library_is_absent_with_the_loaders_reason),
        IT(a_library_beside_the_program_gives_its_symbols),
        IT(a_library_without_the_symbol_is_of_another_version),
    };

    return cmocka_run_group_tests(tests, find_folder, NULL);
}
