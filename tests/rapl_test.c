/* SPDX-License-Identifier: MIT
 * The energy probe on folders like the kernel's: what is added, what is not, counters that begin anew, and why there is none.
 */
#include "root_room.h"

#include <linux/perf_event.h>
#include <math.h>
#include <sys/syscall.h>

#include "clock.h"
#include "rapl.h"

static void put_zone(const char *zone, const char *name, long long uj, long long range)
{
    char path[128];

    snprintf(path, sizeof path, "/sys/class/powercap/%s/name", zone);
    put(path, "%s\n", name);
    snprintf(path, sizeof path, "/sys/class/powercap/%s/max_energy_range_uj", zone);
    put(path, "%lld\n", range);
    snprintf(path, sizeof path, "/sys/class/powercap/%s/energy_uj", zone);
    put(path, "%lld\n", uj);
}

static void set_energy(const char *zone, long long uj)
{
    char path[128];

    snprintf(path, sizeof path, "/sys/class/powercap/%s/energy_uj", zone);
    put(path, "%lld\n", uj);
}

static struct probe *open_rapl(void)
{
    struct probe *p = NULL;
    struct err e = {0};

    if (rapl_open_at(root, &p, &e) < 0)
        fail_msg("%s", e.text);
    return p;
}

static double joules(const struct reading *r, enum metric m)
{
    for (int i = 0; i < r->count; i++)
        if (r->value[i].metric == m && r->value[i].provenance == PROVENANCE_VENDOR)
            return r->value[i].value;
    return NAN;
}

static void assert_joules(const struct reading *r, enum metric m, double expected)
{
    double got = joules(r, m);

    if (!(fabs(got - expected) < 1e-6))
        fail_msg("%s: %g J, expected %g", metric_name(m), got, expected);
}

static void all_packages_are_added_and_memory_is_a_figure_of_its_own(void **state)
{
    struct reading r;
    const char *why;

    (void)state;
    put_zone("intel-rapl:0", "package-0", 1000000, 262143328850);
    put_zone("intel-rapl:0:0", "dram", 500000, 65712999613);
    put_zone("intel-rapl:1", "package-1", 7000000, 262143328850);
    put_zone("intel-rapl:1:0", "dram", 100, 65712999613);
    struct probe *p = open_rapl();
    p->ops->begin(p);
    set_energy("intel-rapl:0", 3500000);
    set_energy("intel-rapl:0:0", 750000);
    set_energy("intel-rapl:1", 8000000);
    set_energy("intel-rapl:1:0", 200100);
    p->ops->end(p, &r);
    assert_int_equal(r.count, 2);
    assert_joules(&r, METRIC_ENERGY_J, 3.5);
    assert_joules(&r, METRIC_ENERGY_DRAM_J, 0.45);
    assert_true(p->ops->plausible(p, &r, &why));
    p->ops->close(p);
}

static void what_is_inside_or_around_a_package_is_not_added(void **state)
{
    struct reading r;

    (void)state;
    put_zone("intel-rapl:0", "package-0", 0, 1000000);
    put_zone("intel-rapl:0:0", "core", 0, 1000000);
    put_zone("intel-rapl:0:1", "uncore", 0, 1000000);
    put_zone("intel-rapl:1", "psys", 0, 1000000);
    put_zone("intel-rapl-mmio:0", "package-0", 0, 1000000);
    struct probe *p = open_rapl();
    p->ops->begin(p);
    set_energy("intel-rapl:0", 20);
    set_energy("intel-rapl:0:0", 300);
    set_energy("intel-rapl:0:1", 300);
    set_energy("intel-rapl:1", 300);
    set_energy("intel-rapl-mmio:0", 300);
    p->ops->end(p, &r);
    assert_int_equal(r.count, 1);
    assert_joules(&r, METRIC_ENERGY_J, 20e-6);
    p->ops->close(p);
}

static void a_counter_that_begins_anew_goes_on_from_its_range(void **state)
{
    struct reading r;
    const char *why = NULL;

    (void)state;
    put_zone("intel-rapl:0", "package-0", 262143000000, 262143328850);
    struct probe *p = open_rapl();
    p->ops->begin(p);
    set_energy("intel-rapl:0", 671150);
    p->ops->end(p, &r);
    assert_joules(&r, METRIC_ENERGY_J, 1.0);
    assert_true(p->ops->plausible(p, &r, &why));
    r.value[0].value = -1;
    assert_false(p->ops->plausible(p, &r, &why));
    assert_non_null(why);
    p->ops->close(p);
}

static void every_bracket_begins_where_it_begins(void **state)
{
    struct reading r;

    (void)state;
    put_zone("intel-rapl:0", "package-0", 0, 1000000000);
    struct probe *p = open_rapl();
    for (int i = 1; i <= 3; i++) {
        p->ops->begin(p);
        set_energy("intel-rapl:0", i * 1000000LL * 10);
        p->ops->end(p, &r);
        assert_joules(&r, METRIC_ENERGY_J, 10);
    }
    p->ops->close(p);
}

static void a_counter_that_cannot_be_read_is_missing_not_zero(void **state)
{
    static const char *const begin_and_end[][2] = {{"5", ""}, {"", "5"}};

    (void)state;
    put_zone("intel-rapl:0", "package-0", 5, 1000000000);
    struct probe *p = open_rapl();
    for (int i = 0; i < 2; i++) {
        struct reading r;
        const char *why;
        put("/sys/class/powercap/intel-rapl:0/energy_uj", "%s", begin_and_end[i][0]);
        p->ops->begin(p);
        put("/sys/class/powercap/intel-rapl:0/energy_uj", "%s", begin_and_end[i][1]);
        p->ops->end(p, &r);
        assert_int_equal(r.count, 1);
        assert_int_equal(r.value[0].provenance, PROVENANCE_MISSING);
        assert_non_null(r.value[0].why);
        assert_true(p->ops->plausible(p, &r, &why));
    }
    p->ops->close(p);
}

static void a_machine_without_meters_says_where_that_is_usual(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(rapl_open_at(root, &p, &e), ERR_ABSENT);
    assert_non_null(strstr(e.text, "/sys/class/powercap"));
    assert_non_null(strstr(e.text, "usual in virtual machines"));
}

static void a_meter_that_may_not_be_read_names_the_command(void **state)
{
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    put_zone("intel-rapl:0", "package-0", 5, 1000000000);
    put_zone("intel-rapl:1", "package-1", 5, 1000000000);
    forbid("/sys/class/powercap/intel-rapl:1/energy_uj");
    int code = rapl_open_at(root, &p, &e);
    allow_again();
    assert_int_equal(code, ERR_ABSENT); /* one package alone would be half the truth */
    assert_non_null(strstr(e.text, "energy_uj may not be read by this user; sudo chmod a+r "));
}

/* A clock of the kernel's takes the meter's place: the way there is the same. */
static void where_powercap_is_closed_the_events_of_perf_count(void **state)
{
    struct perf_event_attr a = {.size = sizeof a, .type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK};
    struct reading r;

    (void)state;
    int fd = (int)syscall(SYS_perf_event_open, &a, -1, 0, -1, 0);
    if (fd < 0) {
        print_message("the kernel refuses this user a clock of perf_event_open\n");
        skip();
    }
    close(fd);
    put("/sys/bus/event_source/devices/power/type", "%d\n", PERF_TYPE_SOFTWARE);
    put("/sys/bus/event_source/devices/power/cpumask", "0\n");
    put("/sys/bus/event_source/devices/power/events/energy-pkg", "event=0x%x\n", PERF_COUNT_SW_CPU_CLOCK);
    put("/sys/bus/event_source/devices/power/events/energy-pkg.scale", "1e-9\n");
    struct probe *p = open_rapl();
    uint64_t begin = clock_ns();
    p->ops->begin(p);
    usleep(20000);
    p->ops->end(p, &r);
    double outside = (double)(clock_ns() - begin) / 1e9;
    assert_int_equal(r.count, 1);
    assert_true(joules(&r, METRIC_ENERGY_J) > 0.019 && joules(&r, METRIC_ENERGY_J) < outside * 1.01);
    p->ops->close(p);
}

int main(void)
{
#define ROOTED(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        ROOTED(all_packages_are_added_and_memory_is_a_figure_of_its_own),
        ROOTED(what_is_inside_or_around_a_package_is_not_added),
        ROOTED(a_counter_that_begins_anew_goes_on_from_its_range),
        ROOTED(every_bracket_begins_where_it_begins),
        ROOTED(a_counter_that_cannot_be_read_is_missing_not_zero),
        ROOTED(a_machine_without_meters_says_where_that_is_usual),
        ROOTED(a_meter_that_may_not_be_read_names_the_command),
        ROOTED(where_powercap_is_closed_the_events_of_perf_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
