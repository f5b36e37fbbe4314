/* SPDX-License-Identifier: MIT
 * Which quantities are counted together, and what the full calibration shows of them. */
#include "counter_room.h"

static void no_more_counters_are_asked_for_than_there_are(void **state)
{
    static const char events[] = EVENTS_HEAD "quantity flops\npapi takes 4\n1 x FLOPS_WIDE\nfrom here\n" EVENTS_TAIL;
    struct probe *p = NULL;
    struct err e = {0};

    (void)state;
    assert_int_equal(open_events(RIGHT, events, &p, &e), 0);
    assert_int_equal(p->ops->groups(p), 4);
    assert_string_equal(group_of(p, METRIC_FLOPS), "papi:flops");
    assert_string_equal(group_of(p, METRIC_CYCLES), "papi:cycles");
    assert_string_equal(group_of(p, METRIC_DRAM_READ_BYTES), "papi:cycles");
    assert_string_equal(group_of(p, METRIC_INSTRUCTIONS), "papi:instructions");
    p->ops->close(p);
}

static void the_same_wishes_give_the_same_groups(void **state)
{
    const char *first[8] = {NULL};

    (void)state;
    for (int time = 0; time < 3; time++) {
        struct probe *p = NULL;
        struct err e = {0};
        assert_int_equal(open_with(RIGHT, &p, &e), 0);
        for (int g = 0; g < p->ops->groups(p); g++) {
            if (time == 0)
                first[g] = p->ops->group_name(p, g);
            assert_string_equal(p->ops->group_name(p, g), first[g]);
        }
        p->ops->close(p);
    }
    assert_string_equal(first[0], "papi:flops");
    assert_string_equal(first[1], "papi:dram");
    assert_string_equal(first[2], "papi:faults");
}

static void what_does_not_go_together_is_not_put_together(void **state)
{
    static struct event_file f;
    static const char text[] = "cpu any\ncounters 4\napart cycles instructions\nabout\nPacking.\nend\n"
                               "quantity flops\npapi takes 2\n1 x A\nfrom x\nraw takes 3\n1 x cpu/1/\nfrom x\n"
                               "quantity dram_read_bytes\npapi takes 3\n1 x B\nfrom x\n"
                               "quantity cycles\npapi takes 1\n1 x C\nfrom x\nraw takes 1\n1 x cpu/2/\nfrom x\n"
                               "quantity instructions\npapi takes 1\n1 x D\nfrom x\n"
                               "quantity page_faults_minor\npapi takes 0\n1 x E\nfrom x\n";
    enum { FLOPS, RAW_FLOPS, BYTES, CYCLES, RAW_CYCLES, INSTRUCTIONS, FAULTS, CANDIDATES };
    static const bool together[CANDIDATES][CANDIDATES] = {
        [FLOPS] = {[CYCLES] = true, [INSTRUCTIONS] = true}, /* with bytes: five counters */
        [RAW_FLOPS] = {[RAW_CYCLES] = true},
        [BYTES] = {[CYCLES] = true, [INSTRUCTIONS] = true},
    };

    (void)state;
    assert_int_equal(event_file_parse(&f, "it", text, NULL), 0);
    for (int a = 0; a < CANDIDATES; a++)
        for (int b = 0; b < CANDIDATES; b++) {
            struct counter_set s = {0};
            if (f.candidate[a].metric == f.candidate[b].metric)
                continue;
            assert_true(counter_set_add(&s, &f, &f.candidate[a]));
            assert_int_equal(counter_set_add(&s, &f, &f.candidate[b]), together[a][b] || together[b][a]);
            assert_int_equal(s.members, 1 + (together[a][b] || together[b][a]));
        }
}

static void a_set_holds_two_quantities_and_knows_whose_events_are_whose(void **state)
{
    static struct event_file f;
    static const char text[] = "cpu any\ncounters 8\nabout\nPacking.\nend\n"
                               "quantity flops\npapi takes 2\n1 x A\n4 x B\nfrom x\n"
                               "quantity cycles\npapi takes 1\n1 x C\nfrom x\n"
                               "quantity instructions\npapi takes 1\n1 x D\nfrom x\n";
    struct counter_set s = {0};

    (void)state;
    assert_int_equal(event_file_parse(&f, "it", text, NULL), 0);
    assert_true(counter_set_add(&s, &f, &f.candidate[0]));
    assert_true(counter_set_add(&s, &f, &f.candidate[1]));
    assert_false(counter_set_add(&s, &f, &f.candidate[2]));
    assert_int_equal(s.events, 3);
    assert_int_equal(s.slots, 3);
    assert_true(s.weight[1] == 4 && s.owner[1] == 0 && s.owner[2] == 1);
}

/* --- the full calibration --------------------------------------------------------------------------------------------------
 */

static void the_full_calibration_shows_every_comparison_and_decides_by_the_gates(void **state)
{
    static struct machine_calibration m;
    static const char events[] = EVENTS_HEAD "quantity flops\npapi takes 2\n1 x HALF_THE_FLOPS\nfrom here\n"
                                             "papi takes 2\n1 x FLOPS\nfrom here\n" EVENTS_TAIL;
    struct counter_setup setup = machine_setup(RIGHT, events);
    struct err e = {0};
    int refused = 0, flops = 0;

    (void)state;
    assert_int_equal(calibrate_machine(&m, &setup, team.threads, &e), 0);
    assert_int_equal(machine.open, 0);
    for (int i = 0; i < m.rows; i++) {
        const struct machine_row *r = &m.row[i];
        refused += r->verdict == MACHINE_REFUSED;
        flops += r->metric == METRIC_FLOPS && r->runs == MACHINE_RUNS;
        assert_true(r->verdict == MACHINE_REFUSED || (r->spread == 0 && r->rejects == 0));
    }
    assert_int_equal(refused, 1); /* the candidate that counts half */
    assert_int_equal(flops, 3);   /* f32, f64, and that bytes are no FLOPs */
    for (int i = 0; i < m.quantities; i++)
        assert_true(m.quantity[i].accepted ? m.read_ns[i] > 0 : isnan(m.read_ns[i]));
}

static void the_full_calibration_counts_what_it_threw_away(void **state)
{
    static struct machine_calibration m;
    struct counter_setup setup = machine_setup(DROPS, usual_events);
    struct err e = {0};
    int rejects = 0;

    (void)state;
    assert_int_equal(calibrate_machine(&m, &setup, team.threads, &e), 0);
    for (int i = 0; i < m.rows; i++)
        rejects += m.row[i].rejects;
    assert_true(rejects > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_counters_are_asked_for_than_there_are),
        cmocka_unit_test(the_same_wishes_give_the_same_groups),
        cmocka_unit_test(what_does_not_go_together_is_not_put_together),
        cmocka_unit_test(a_set_holds_two_quantities_and_knows_whose_events_are_whose),
        cmocka_unit_test(the_full_calibration_shows_every_comparison_and_decides_by_the_gates),
        cmocka_unit_test(the_full_calibration_counts_what_it_threw_away),
    };

    return cmocka_run_group_tests(tests, start_team, NULL);
}
