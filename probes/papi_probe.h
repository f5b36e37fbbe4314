/* SPDX-License-Identifier: MIT
 * What the PAPI probe found out about this machine, for the record and for `bench doctor`. The probe itself is in probes[]. */
#ifndef BENCH_PAPI_PROBE_H
#define BENCH_PAPI_PROBE_H

#include "calibrate.h"
#include "probe.h"

/* State of one wanted quantity after opening. */
struct papi_quantity {
    enum metric metric;
    char event[192]; /* the accepted candidate, or empty */
    bool accepted;
    double rel_error;  /* of the worst calibration kernel; NaN when none */
    int rejects;       /* impossible readings during calibration, thrown away and repeated */
    char why[256];     /* refused or absent: the reason and the remedy */
    const char *layer; /* accepted: who counts, "papi" or "raw" */
    char source[192];  /* accepted: where the event's encoding comes from */
    int group;         /* accepted: of the probe's groups */
};

/* After a successful open of the "papi" probe. Owned by the probe. */
const struct calibration_list *papi_calibrations(const struct probe *p);
int papi_quantities(const struct probe *p, const struct papi_quantity **out);
/* "amd64_fam19h_zen4 (forced: libpfm does not know this CPU), PAPI 7.0.0". */
const char *papi_pmu(const struct probe *p);
/* Why there are no hardware counters, and the remedy; empty when there are. */
const char *papi_no_hardware(const struct probe *p);
/* The event file that was used, "amd_zen4". */
const char *papi_event_file(const struct probe *p);

#endif
