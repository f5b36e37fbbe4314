/* SPDX-License-Identifier: MIT
 * Events are copied, because a probe forgets them at its next bracket. Their names are the probe's. */
#include "device_log.h"

#include <stdlib.h>

#include "op_meter.h"

int device_log_open(struct device_log *l, struct err *e)
{
    struct device_event *room = calloc((size_t)LOG_STEPS_MAX * LOG_EVENTS_MAX, sizeof *room);

    *l = (struct device_log){0};
    if (!room)
        return err_set(e, ERR_MEMORY, "out of memory for a device's events");
    for (int i = 0; i < LOG_STEPS_MAX; i++)
        l->kept[i].event = room + (size_t)i * LOG_EVENTS_MAX;
    return 0;
}

void device_log_close(struct device_log *l)
{
    free(l->kept[0].event);
    *l = (struct device_log){0};
}

void device_log_reset(struct device_log *l)
{
    l->steps = 0;
}

/* The spans of single steps. */
static bool is_kept(int step, int steps)
{
    int first, count;

    for (int span = 0; span < OP_SPAN_DECODE; span++)
        if (op_span_steps((enum op_span)span, steps, &first, &count) && step == first)
            return true;
    return false;
}

void device_log_step(struct device_log *l, const struct probe *p, int step, int steps)
{
    const struct device_event *event = NULL;

    if (!is_kept(step, steps) || l->steps == LOG_STEPS_MAX)
        return;
    struct logged_step *at = &l->kept[l->steps++];
    const int n = p->ops->events(p, &event);
    at->step = step;
    at->count = n < LOG_EVENTS_MAX ? n : LOG_EVENTS_MAX;
    at->left_out = n - at->count;
    for (int i = 0; i < at->count; i++)
        at->event[i] = event[i];
}
