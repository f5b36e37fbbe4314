/* SPDX-License-Identifier: MIT
 * What CUPTI tells of the GPU's work, gathered. It fills buffers that it asks for and gives them back when it likes, on threads
 * of its own; there is one pair of functions for it, whichever records are taken at the moment. Work and the tag on whose
 * behalf it was handed over come apart: both carry the correlation id of the call that did it. */
#ifndef BENCH_PROBES_TRACE_RECORDS_H
#define BENCH_PROBES_TRACE_RECORDS_H

#include "cupti.h"
#include "probe.h"

struct trace_records;

int trace_records_open(struct trace_records **out, const struct cupti *c, struct err *e);
void trace_records_close(struct trace_records *r);

/* For cuptiActivityRegisterCallbacks. */
void CUPTIAPI trace_buffer_requested(uint8_t **buffer, size_t *size, size_t *records_max);
void CUPTIAPI trace_buffer_completed(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size, size_t valid);

/* From now on what CUPTI gives back is r's, whatever it had before is gone. Calls to CUDA from begin_ns on are the bracket's.
 */
void trace_records_take(struct trace_records *r, uint64_t begin_ns);

/* Takes no more; the events that overlap the time from begin_ns to end_ns, joined with their tags, by start. Until the next
 * take. */
int trace_records_settle(struct trace_records *r, uint64_t end_ns, const struct device_event **out);

/* Records for which there was no room, whose times CUPTI could not get, or whose times are not the bracket's although a call
 * in it made the work. */
size_t trace_records_lost(const struct trace_records *r);

/* How long at least one of n events, sorted by start, ran. */
uint64_t trace_busy_ns(const struct device_event *event, int n);

#endif
