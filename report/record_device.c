/* SPDX-License-Identifier: MIT
 * The parts of a record about a GPU: how busy the driver says it was, and what each phase gave it. */
#include <math.h>

#include "record_parts.h"
#include "words.h"

/* The driver's figure is a mean over its last sample period, which lasts up to a second: a shorter loop is diluted by what was
 * before. */
static const double loop_ms_min = 1000;

static const json_t *reading_at(const json_t *trial, const char *phase, const char *metric)
{
    return words_at(words_at(words_at(trial, "device.readings"), phase), metric);
}

static double reading(const json_t *trial, const char *phase, const char *metric)
{
    return words_number_at(reading_at(trial, phase, metric), "value");
}

/* "97 % of the decode loop's time (NVML, its sample periods), 612 W, 1.88 J a token" */
static void put_busy(struct text *out, const json_t *trial)
{
    double each = words_number_at(trial, "energy.decode.joules_per_token"), watts = reading(trial, "decode", "gpu_power_w");
    char b[WORDS_MAX];

    text_printf(out, "%s while decoding (NVML, in its last sample period, median over the steps)",
                words_percent(b, reading(trial, "decode", "gpu_utilization")));
    if (isfinite(watts))
        text_printf(out, ", %s", words_value(b, watts, "W"));
    if (isfinite(each))
        text_printf(out, ", %s a token", words_value(b, each, "J"));
}

void record_put_utilization(struct view *v, const json_t *trial)
{
    const char *why = words_string_at(reading_at(trial, "decode", "gpu_utilization"), "why");
    double loop = words_number_at(trial, "decode_loop_ms.median");
    struct text text = {0};
    char b[WORDS_MAX];

    if (!isfinite(reading(trial, "decode", "gpu_utilization")))
        text_printf(&text, "not measured%s%s", why ? ": " : "", why ? why : "");
    else if (!(loop >= loop_ms_min))
        text_printf(&text, "not measured: the decode loop took %s, and the driver's figure is a mean over up to a second",
                    words_value(b, loop, "ms"));
    else
        put_busy(&text, trial);
    view_put_text(v, v->root, "gpu_utilization", &text);
}

static void put_phase(struct view *v, json_t *list, const json_t *trial, const char *phase)
{
    double kernels = words_number_at(words_at(trial, "device.launches"), phase);
    double busy = reading(trial, phase, "gpu_busy_ns") / reading(trial, phase, "gpu_ns");
    struct text slowed = {0};
    char b[WORDS_MAX];
    json_t *word;
    size_t i;

    if (!words_at(trial, phase))
        return;
    json_t *row = view_add_row(v, list);
    view_put(v, row, "phase", phase);
    view_put_md(v, row, "trial", words_string_at(trial, "label"), "?");
    view_put(v, row, "kernels", words_value(b, kernels, ""));
    view_put(v, row, "launch", words_value(b, words_number_at(words_at(trial, phase), "verdict.t_launch_ms"), ""));
    view_put(v, row, "busy", words_percent(b, busy));
    view_put(v, row, "tensor", words_percent(b, reading(trial, phase, "tensor_active")));
    view_put(v, row, "memory", words_percent(b, reading(trial, phase, "dram_active")));
    view_put(v, row, "clock", words_scaled(b, reading(trial, phase, "gpu_hz"), "Hz"));
    view_put(v, row, "power", words_value(b, reading(trial, phase, "gpu_power_w"), "W"));
    json_array_foreach((json_t *)words_at(trial, "device.slowed"), i, word)
        text_printf(&slowed, "%s%s", i ? ", " : "", json_string_value(word));
    view_put_text(v, row, "slowed", &slowed);
}

void record_put_device(struct view *v, const json_t *document)
{
    json_t *list = json_array(), *trial;
    size_t i;

    view_put_json(v, v->root, "gpu", json_boolean(words_at(document, "device")));
    view_put_json(v, v->root, "gpu_phases", list);
    json_array_foreach((json_t *)words_at(document, "trials"), i, trial)
    {
        if (!words_at(trial, "device"))
            continue;
        put_phase(v, list, trial, "prefill");
        put_phase(v, list, trial, "decode");
    }
}
