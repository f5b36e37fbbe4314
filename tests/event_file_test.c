/* SPDX-License-Identifier: MIT
 * Event files: what the parser takes and what it refuses, that every file of the program is whole and for CPUs of its own, and
 * that names and encodings agree with libpfm's tables. */
#include "check.h"

#include <dirent.h>
#include <dlfcn.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event_catalog.h"
#include "text.h"

static struct event_file file;

/* --- the parser ------------------------------------------------------------------------------------------------------------
 */

#define HEAD "cpu any\ncounters 4\nabout\n  Words.\nend\n"

static void a_whole_file_is_understood(void **state)
{
    static const char text[] = "# a comment\n"
                               "cpu AuthenticAMD family 0x19 models 0x10-0x1f 0x61\n"
                               "cpu arm implementer 0x41 parts 0xd0c\n"
                               "pmu amd64_fam19h_zen4\n"
                               "counters 4\n"
                               "apart cycles instructions\n"
                               "about\n  Two lines\n  # of words.\nend\n"
                               "quantity flops\n"
                               "  papi takes 3\n    1 x FP:SCALAR\n    4 x FP:WIDE\n    from a manual, page 3\n"
                               "  raw takes 1\n    0.5 x cpu/0x1f03,0x20/\n    from a table\n"
                               "quantity dram_write_bytes\n  none nothing sees it\n";
    struct err e = {0};

    (void)state;
    assert_int_equal(event_file_parse(&file, "it", text, &e), 0);
    assert_int_equal(file.cpus, 2);
    assert_int_equal(file.cpu[0].model[0].to, 0x1f);
    assert_string_equal(file.pmu, "amd64_fam19h_zen4");
    assert_int_equal(file.counters, 4);
    assert_int_equal(file.apart[0][1], METRIC_INSTRUCTIONS);
    assert_int_equal(strncmp(file.about, "  Two lines\n  # of words.\n", (size_t)file.about_len), 0);
    assert_int_equal(file.candidates, 2);
    assert_int_equal(file.candidate[0].layer, EVENT_PAPI);
    assert_int_equal(file.candidate[0].slots, 3);
    assert_string_equal(file.candidate[0].name, "FP: 1 x SCALAR + 4 x WIDE");
    assert_string_equal(file.candidate[0].source, "a manual, page 3");
    assert_int_equal(file.candidate[1].layer, EVENT_RAW);
    assert_true(file.candidate[1].term[0].weight == 0.5);
    assert_string_equal(file.candidate[1].name, "0.5 x cpu/0x1f03,0x20/");
    assert_string_equal(file.none[METRIC_DRAM_WRITE_BYTES], "nothing sees it");
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
    static const struct {
        const char *text, *sentence;
    } lines[] = {
        {"cqu any\n", "it:1: no line starts with 'cqu'; did you mean 'cpu'?"},
        {"banana\n", "it:1: no line starts with 'banana'"},
        {"cpu GenuineIntel\n", "it:1: a CPU is 'VENDOR family N"},
        {"cpu GenuineIntel family six\n", "it:1: a CPU is"},
        {"cpu GenuineIntel family 6 models\n", "it:1: a CPU is"},
        {"cpu GenuineIntel family 6 parts 1\n", "it:1: a CPU is"},
        {"cpu arm family 6\n", "it:1: a CPU is"},
        {"cpu AVendorOfALongName family 6\n", "it:1: the vendor 'AVendorOfALongName' is longer"},
        {"cpu GenuineIntel family 6 models 0x10 late\n", "it:1: 'late' is no number or range"},
        {"cpu GenuineIntel family 6 models 0x1f-0x10\n", "it:1: '0x1f-0x10' is no number or range"},
        {"cpu arm implementer 0x41 parts 1 2 3 4 5 6 7 8 9 10 11 12 13\n", "it:1: more than 12 ranges of models"},
        {"cpu any\ncpu any\ncpu any\ncpu any\ncpu any\ncpu any\ncpu any\ncpu any\ncpu any\n",
         "it:9: more than 8 lines of CPUs"},
        {"pmu\n", "it:1: pmu wants one name"},
        {"pmu a\npmu b\n", "it:2: a second pmu"},
        {"counters 0\n", "it:1: counters wants a number from 1 to 16"},
        {"counters many\n", "it:1: counters wants"},
        {"counters 4\ncounters 4\n", "it:2: a second number of counters"},
        {"apart cycles\n", "it:1: apart wants the two quantities"},
        {"apart cycles instrucktions\n", "it:1: no quantity is called 'instrucktions'; did you mean 'instructions'?"},
        {"apart cycles flops\napart cycles flops\napart cycles flops\napart cycles flops\napart cycles flops\n",
         "it:5: more than 4 pairs"},
        {"about this\n", "it:1: the description starts on the line below"},
        {"about\nWords.\nend\nabout\n", "it:4: a second description"},
        {"about\nWords.\n", "it:2: the description has no 'end'"},
        {"cpu any\ncounters 4\n", "it:2: no description"},
        {"counters 4\nabout\nWords.\nend\n", "it:4: no line says which CPUs"},
        {"cpu any\nabout\nWords.\nend\n", "it:4: no line says how many counters"},
        {HEAD "quantity\n", "it:6: quantity wants one name"},
        {HEAD "quantity flopz\n", "it:6: no quantity is called 'flopz'; did you mean 'flops'?"},
        {HEAD "quantity flops\n", "it:6: the quantity above has neither a candidate nor 'none'"},
        {HEAD "quantity flops\n none of it\nquantity flops\n", "it:8: a second 'flops'"},
        {HEAD "papi takes 1\n", "it:6: a candidate outside a quantity"},
        {HEAD "quantity flops\n papi takes\n", "it:7: a candidate is 'papi takes N'"},
        {HEAD "quantity flops\n raw takes few\n", "it:7: a candidate is 'raw takes N'"},
        {HEAD "quantity flops\n raw takes 5\n", "it:7: a candidate of 5 counters, where a group has 4"},
        {HEAD "quantity flops\n papi takes 1\n from x\nquantity cycles\n", "it:9: the candidate above has no events"},
        {HEAD "quantity flops\n papi takes 1\n 1 x A\n papi takes 1\n", "it:9: the candidate above does not say where"},
        {HEAD "1 x A\n", "it:6: an event outside a candidate"},
        {HEAD "quantity flops\n papi takes 1\n one x A\n", "it:8: no line starts with 'one'"},
        {HEAD "quantity flops\n papi takes 1\n 1x A\n", "it:8: an event is 'WEIGHT x NAME'"},
        {HEAD "quantity flops\n papi takes 1\n 0 x A\n", "it:8: an event is 'WEIGHT x NAME', the weight above 0"},
        {HEAD "quantity flops\n papi takes 1\n -2 x A\n", "it:8: an event is 'WEIGHT x NAME', the weight above 0"},
        {HEAD "quantity flops\n papi takes 1\n 1 x A B\n", "it:8: an event is 'WEIGHT x NAME'"},
        {HEAD "quantity flops\n raw takes 1\n 1 x A\n", "it:8: a raw event is 'PMU/CONFIG/'"},
        {HEAD "quantity flops\n raw takes 1\n 1 x cpu/0x1f03\n", "it:8: a raw event is"},
        {HEAD "quantity flops\n raw takes 1\n 1 x cpu/0x1f03,/\n", "it:8: a raw event is"},
        {HEAD "quantity flops\n papi takes 1\n 1 x A\n 1 x A\n 1 x A\n 1 x A\n 1 x A\n 1 x A\n 1 x A\n",
         "it:14: more than 6 events in a sum"},
        {HEAD "from x\n", "it:6: a source outside a candidate"},
        {HEAD "quantity flops\n papi takes 1\n 1 x A\n from\n", "it:9: the source is not named"},
        {HEAD "quantity flops\n papi takes 1\n 1 x A\n from x\n from x\n", "it:10: a second source"},
        {HEAD "none at all\n", "it:6: 'none' outside a quantity"},
        {HEAD "quantity flops\n none\n", "it:7: 'none' without the reason"},
        {HEAD "quantity flops\n none x\n none x\n", "it:8: 'none' must be all that a quantity says"},
        {HEAD "quantity flops\n none x\n papi takes 1\n", "it:8: a candidate for a quantity that has none"},
        {HEAD "quantity flops\n papi takes 1\n 1 x A\n from x\n none x\n", "it:10: 'none' must be all"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct err e = {0};
        if (event_file_parse(&file, "it", lines[i].text, &e) != ERR_FORMAT ||
            strncmp(e.text, lines[i].sentence, strlen(lines[i].sentence)) != 0)
            fail_msg("for:\n%swanted: %s\ngot:    %s", lines[i].text, lines[i].sentence, e.text);
    }
}

static void what_is_too_long_is_refused(void **state)
{
    static const struct {
        const char *before, *sentence;
        int letters;
    } lines[] = {
        {"# ", "the line is longer than 511 characters", 600},
        {"pmu ", "pmu wants one name", 60},
        {HEAD "quantity flops\npapi takes 1\n1 x ", "the event's name is longer than 159 characters", 200},
        {HEAD "quantity flops\npapi takes 1\n1 x A\nfrom ", "the source is longer than 191 characters", 300},
        {HEAD "quantity flops\nnone ", "the reason is longer than 191 characters", 300},
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct text t = {0};
        struct err e = {0};
        text_puts(&t, lines[i].before);
        for (int n = 0; n < lines[i].letters; n++)
            text_puts(&t, "a");
        assert_int_equal(event_file_parse(&file, "it", t.data, &e), ERR_FORMAT);
        assert_non_null(strstr(e.text, lines[i].sentence));
        text_free(&t);
    }
}

static void too_many_candidates_are_refused(void **state)
{
    struct text t = {0};
    struct err e = {0};

    (void)state;
    text_puts(&t, HEAD "quantity flops\n");
    for (int n = 0; n <= EVENT_CANDIDATES; n++)
        text_puts(&t, "papi takes 1\n1 x A\nfrom x\n");
    assert_int_equal(event_file_parse(&file, "it", t.data, &e), ERR_FORMAT);
    assert_non_null(strstr(e.text, "more than 48 candidates"));
    text_free(&t);
}

/* --- the files of the program ----------------------------------------------------------------------------------------------
 */

static void every_file_of_the_folder_is_compiled_in_and_whole(void **state)
{
    DIR *folder = opendir("probes/events");
    int files = 0, listed = 0;

    (void)state;
    assert_non_null(folder);
    for (struct dirent *d; (d = readdir(folder));)
        files += strstr(d->d_name, ".txt") != NULL;
    closedir(folder);
    for (const struct event_text *t = event_texts; t->name; t++, listed++) {
        struct err e = {0};
        if (event_file_parse(&file, t->name, t->text, &e) < 0)
            fail_msg("%s", e.text);
        assert_true(file.about_len > 400); /* a description, not a word */
    }
    assert_int_equal(files, listed);
}

/* Either it can be counted or the file says why not. */
static void every_file_speaks_of_every_quantity(void **state)
{
    static const enum metric wanted[] = {METRIC_FLOPS,         METRIC_FLOPS_F32,       METRIC_FLOPS_F64,
                                         METRIC_FLOPS_BF16,    METRIC_DRAM_READ_BYTES, METRIC_DRAM_WRITE_BYTES,
                                         METRIC_L2_READ_BYTES, METRIC_L3_READ_BYTES,   METRIC_CYCLES,
                                         METRIC_INSTRUCTIONS};

    (void)state;
    for (const struct event_text *t = event_texts; strcmp(t->name, "generic") != 0; t++) {
        assert_int_equal(event_file_parse(&file, t->name, t->text, NULL), 0);
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
            bool spoken = file.none[wanted[i]][0] != 0;
            for (int c = 0; c < file.candidates; c++)
                spoken |= file.candidate[c].metric == wanted[i];
            if (!spoken)
                fail_msg("%s does not speak of %s", t->name, metric_name(wanted[i]));
        }
    }
}

/* With PAPI left out of the build, whatever it could count can be tried raw. */
static void what_papi_counts_by_name_has_a_raw_event_too(void **state)
{
    (void)state;
    for (const struct event_text *t = event_texts; t->name; t++) {
        assert_int_equal(event_file_parse(&file, t->name, t->text, NULL), 0);
        for (int c = 0; c < file.candidates; c++) {
            bool raw = strncmp(file.candidate[c].term[0].event, "PAPI_", 5) == 0; /* presets have no encoding of their own */
            for (int r = 0; r < file.candidates; r++)
                raw |= file.candidate[r].metric == file.candidate[c].metric && file.candidate[r].layer == EVENT_RAW;
            if (!raw)
                fail_msg("%s: no raw event for %s", t->name, metric_name(file.candidate[c].metric));
        }
    }
}

static void a_cpu_gets_its_file(void **state)
{
    static const struct {
        struct cpu_id cpu;
        const char *name;
    } cpus[] = {
        {{"GenuineIntel", 6, 0x55, 0, 0}, "intel_skylake_x"},
        {{"GenuineIntel", 6, 0x9e, 0, 0}, "intel_skylake"},
        {{"GenuineIntel", 6, 0x6a, 0, 0}, "intel_ice_lake_sp"},
        {{"GenuineIntel", 6, 0x8c, 0, 0}, "intel_ice_lake"},
        {{"GenuineIntel", 6, 0x8f, 0, 0}, "intel_sapphire_rapids"},
        {{"GenuineIntel", 6, 0xcf, 0, 0}, "intel_sapphire_rapids"},
        {{"GenuineIntel", 6, 0xad, 0, 0}, "intel_granite_rapids"},
        {{"GenuineIntel", 6, 0x97, 0, 0}, "intel_hybrid"},
        {{"GenuineIntel", 6, 0xaa, 0, 0}, "intel_hybrid"},
        {{"AuthenticAMD", 0x17, 0x01, 0, 0}, "amd_zen1"},
        {{"AuthenticAMD", 0x17, 0x31, 0, 0}, "amd_zen2"},
        {{"AuthenticAMD", 0x19, 0x01, 0, 0}, "amd_zen3"},
        {{"AuthenticAMD", 0x19, 0x50, 0, 0}, "amd_zen3"},
        {{"AuthenticAMD", 0x19, 0x11, 0, 0}, "amd_zen4"},
        {{"AuthenticAMD", 0x19, 0x61, 0, 0}, "amd_zen4"},
        {{"AuthenticAMD", 0x1a, 0x02, 0, 0}, "amd_zen5"},
        {{"AuthenticAMD", 0x1b, 0x00, 0, 0}, "amd_zen5"},
        {{"arm", 0, 0, 0x41, 0xd0c}, "arm_neoverse_n1"},
        {{"arm", 0, 0, 0x41, 0xd40}, "arm_neoverse_v1"},
        {{"arm", 0, 0, 0x41, 0xd4f}, "arm_neoverse_v2"},
        {{"arm", 0, 0, 0xc0, 0xac3}, "generic"},
        {{"GenuineIntel", 6, 0x0f, 0, 0}, "generic"},
        {{"", 0, 0, 0, 0}, "generic"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cpus / sizeof cpus[0]; i++) {
        struct err e = {0};
        assert_int_equal(event_catalog_choose(&file, &cpus[i].cpu, &e), 0);
        assert_string_equal(file.name, cpus[i].name);
        bool faults = false; /* the generic candidates are behind */
        for (int c = 0; c < file.candidates; c++)
            faults |= file.candidate[c].metric == METRIC_PAGE_FAULTS_MINOR;
        assert_true(faults);
    }
}

static void no_cpu_belongs_to_two_files(void **state)
{
    static const struct {
        const char *vendor;
        unsigned from, to;
    } makers[] = {{"GenuineIntel", 6, 6}, {"AuthenticAMD", 0x15, 0x1c}, {"arm", 0x41, 0x41}};
    static struct event_file all[32];
    int files = 0;

    (void)state;
    for (const struct event_text *t = event_texts; strcmp(t->name, "generic") != 0; t++)
        assert_int_equal(event_file_parse(&all[files++], t->name, t->text, NULL), 0);
    for (size_t m = 0; m < sizeof makers / sizeof makers[0]; m++)
        for (unsigned family = makers[m].from; family <= makers[m].to; family++)
            for (unsigned model = 0; model <= 0xfff; model++) {
                struct cpu_id cpu = {.family = family, .model = model, .implementer = family, .part = model};
                int owners = 0;
                snprintf(cpu.vendor, sizeof cpu.vendor, "%s", makers[m].vendor);
                for (int f = 0; f < files; f++)
                    owners += event_file_is_for(&all[f], &cpu);
                assert_true(owners <= 1);
            }
}

static void a_generic_event_is_no_answer_where_the_cpu_is_known_to_have_none(void **state)
{
    const struct cpu_id zen4 = {"AuthenticAMD", 0x19, 0x11, 0, 0};

    (void)state;
    assert_int_equal(event_catalog_choose(&file, &zen4, NULL), 0);
    for (int c = 0; c < file.candidates; c++)
        assert_int_not_equal(file.candidate[c].metric, METRIC_FLOPS_F32);
}

static void cpuinfo_tells_the_cpu(void **state)
{
    struct cpu_id id;

    (void)state;
    assert_true(cpu_identify_text(&id, "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n"
                                       "model name\t: AMD EPYC\nprocessor\t: 1\nmodel\t\t: 99\n"));
    assert_string_equal(id.vendor, "AuthenticAMD");
    assert_int_equal(id.family, 25);
    assert_int_equal(id.model, 17);
    assert_true(cpu_identify_text(&id, "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"));
    assert_string_equal(id.vendor, "arm");
    assert_int_equal(id.implementer, 0x41);
    assert_int_equal(id.part, 0xd0c);
    assert_false(cpu_identify_text(&id, "processor : 0\nisa : rv64imafdc\n"));
}

/* --- libpfm's tables -------------------------------------------------------------------------------------------------------
 */

/* Declared here, for its headers are a package of their own; since 4.0 the library has these functions. */
static struct {
    int (*initialize)(void);
    int (*encode)(const char *name, int levels, struct perf_event_attr *attr, char **full, int *index);
} pfm;

static bool pfm_open(void)
{
    void *library = dlopen("libpfm.so.4", RTLD_NOW);

    if (!library)
        return false;
    *(void **)&pfm.initialize = dlsym(library, "pfm_initialize");
    *(void **)&pfm.encode = dlsym(library, "pfm_get_perf_event_encoding");
    setenv("LIBPFM_ENCODE_INACTIVE", "1", 1); /* tables of other CPUs than this one too */
    return pfm.initialize && pfm.encode && pfm.initialize() == 0;
}

static bool pfm_encode(const char *pmu, const char *event, struct perf_event_attr *attr)
{
    enum { USER_LEVEL = 8 };
    char name[256];

    *attr = (struct perf_event_attr){.size = sizeof *attr};
    snprintf(name, sizeof name, "%s%s%s", pmu, *pmu ? "::" : "", event);
    return pfm.encode(name, USER_LEVEL, attr, NULL, NULL) == 0;
}

/* Is every event of the sum the same as the raw one in its place? */
static bool same_encodings(const struct event_candidate *named, const struct event_candidate *raw)
{
    for (int i = 0; i < named->terms; i++) {
        struct perf_event_attr a;
        struct event_raw r;
        if (!pfm_encode(file.pmu, named->term[i].event, &a) || !event_raw_parse(&r, raw->term[i].event))
            return false;
        if (a.type != PERF_TYPE_RAW || a.config != r.config || a.config1 != r.config1 ||
            named->term[i].weight != raw->term[i].weight)
            return false;
    }
    return true;
}

static void names_are_in_libpfm_and_raw_events_are_what_it_encodes(void **state)
{
    int names = 0, pairs = 0;

    (void)state;
    if (!pfm_open() || !pfm_encode("skx", "L1D:REPLACEMENT", &(struct perf_event_attr){0})) {
        print_message("no libpfm with tables of x86 here\n");
        skip();
    }
    for (const struct event_text *t = event_texts; t->name; t++) {
        assert_int_equal(event_file_parse(&file, t->name, t->text, NULL), 0);
        for (int c = 0; c < file.candidates; c++) {
            const struct event_candidate *named = &file.candidate[c], *raw = named + 1;
            struct perf_event_attr a;
            if (named->layer != EVENT_PAPI || strncmp(named->term[0].event, "PAPI_", 5) == 0)
                continue;
            for (int i = 0; i < named->terms; i++, names++)
                if (!pfm_encode(strncmp(named->term[i].event, "perf::", 6) ? file.pmu : "", named->term[i].event, &a))
                    fail_msg("%s: libpfm does not know %s", t->name, named->term[i].event);
            if (strcmp(t->name, "generic") == 0 || c + 1 == file.candidates || raw->metric != named->metric ||
                raw->layer != EVENT_RAW || raw->terms != named->terms)
                continue;
            pairs++;
            if (strcmp(t->name, "amd_zen5") != 0 && !same_encodings(named, raw)) /* there the names are the family's before */
                fail_msg("%s: %s is not what libpfm encodes for %s", t->name, raw->name, named->name);
        }
    }
    print_message("%d names, %d encodings\n", names, pairs);
    assert_true(names > 100 && pairs > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_is_understood),
        cmocka_unit_test(what_is_wrong_is_told_with_its_line),
        cmocka_unit_test(what_is_too_long_is_refused),
        cmocka_unit_test(too_many_candidates_are_refused),
        cmocka_unit_test(every_file_of_the_folder_is_compiled_in_and_whole),
        cmocka_unit_test(every_file_speaks_of_every_quantity),
        cmocka_unit_test(what_papi_counts_by_name_has_a_raw_event_too),
        cmocka_unit_test(a_cpu_gets_its_file),
        cmocka_unit_test(no_cpu_belongs_to_two_files),
        cmocka_unit_test(a_generic_event_is_no_answer_where_the_cpu_is_known_to_have_none),
        cmocka_unit_test(cpuinfo_tells_the_cpu),
        cmocka_unit_test(names_are_in_libpfm_and_raw_events_are_what_it_encodes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
