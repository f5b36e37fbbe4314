/* SPDX-License-Identifier: MIT
 * The first processor of /proc/cpuinfo stands for all: workers are pinned to cores of one kind, or the calibration of what they
 * count fails. */
#include "cpu_id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of "key : value" in the first processor's block; NULL when there is none. */
static const char *value_of(const char *cpuinfo, const char *key)
{
    const size_t len = strlen(key);

    for (const char *line = cpuinfo; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) != 0)
            continue;
        const char *at = line + len + strspn(line + len, " \t");
        if (*at == ':')
            return at + 1 + strspn(at + 1, " \t");
    }
    return NULL;
}

static unsigned number_of(const char *cpuinfo, const char *key)
{
    const char *value = value_of(cpuinfo, key);

    return value ? (unsigned)strtoul(value, NULL, 0) : 0;
}

bool cpu_identify_text(struct cpu_id *id, const char *cpuinfo)
{
    const char *vendor = value_of(cpuinfo, "vendor_id");

    *id = (struct cpu_id){0};
    if (vendor) {
        snprintf(id->vendor, sizeof id->vendor, "%.*s", (int)strcspn(vendor, " \n"), vendor);
        id->family = number_of(cpuinfo, "cpu family");
        id->model = number_of(cpuinfo, "model");
        return true;
    }
    if (!value_of(cpuinfo, "CPU implementer"))
        return false;
    snprintf(id->vendor, sizeof id->vendor, "arm");
    id->implementer = number_of(cpuinfo, "CPU implementer");
    id->part = number_of(cpuinfo, "CPU part");
    return true;
}

bool cpu_identify(struct cpu_id *id)
{
    char block[8192];
    FILE *f = fopen("/proc/cpuinfo", "re");

    *id = (struct cpu_id){0};
    if (!f)
        return false;
    size_t n = fread(block, 1, sizeof block - 1, f); /* the first processor's block is shorter */
    fclose(f);
    block[n] = 0;
    return cpu_identify_text(id, block);
}
