/* SPDX-License-Identifier: MIT
 * The facts of this machine that decide what can be measured and how it compares: each is read once, with its source, or says
 * why it cannot be read. The run's record and `bench doctor` both speak from here. No host name, no user name. Not on the
 * measured path: it takes some 20 ms. */
#ifndef BENCH_MACHINE_FACTS_H
#define BENCH_MACHINE_FACTS_H

enum machine_fact {
    FACT_CPU,
    FACT_CPU_FAMILY,
    FACT_CPU_MODEL,
    FACT_VECTORS, /* the vector instructions that matter to a model */
    FACT_TOPOLOGY,
    FACT_SMT, /* number: 1 when on */
    FACT_L1,
    FACT_L2,
    FACT_L3,
    FACT_GOVERNOR,
    FACT_FREQUENCY,
    FACT_BOOST,     /* number: 1 when on */
    FACT_MEMORY,    /* number: bytes */
    FACT_AVAILABLE, /* number: bytes */
    FACT_SWAP,      /* number: bytes in use */
    FACT_HUGE_PAGES,
    FACT_NUMA_BALANCING, /* number: 0 when off */
    FACT_KERNEL,
    FACT_SYSTEM,
    FACT_VIRTUALISATION, /* number: 1 in a virtual machine */
    FACT_CONTAINER,
    FACT_CPU_QUOTA,    /* number: CPUs; infinite without a limit */
    FACT_MEMORY_LIMIT, /* number: bytes; infinite without a limit */
    FACT_PARANOID,     /* number: the level */
    FACT_WATCHDOG,     /* number: 1 when it holds a counter */
    FACT_OPENBLAS,
    FACT_PAPI,
    FACT_LIBRARIES,
    FACT_COUNT,
};

/* "governor": the spelling in the database. */
const char *machine_fact_key(enum machine_fact f);

struct fact {
    char value[256];  /* empty when it cannot be read */
    char source[160]; /* "/proc/meminfo", "hwloc" */
    char why[160];    /* empty when it was read */
    double number;    /* where the list above says so, else NaN */
};

/* What a variable of the environment can change, and the roof that shows it. */
struct variable_kind {
    const char *prefix; /* of its name: "OPENBLAS_" */
    const char *roof;   /* "f32 gemm"; NULL when no roof shows it */
    const char *changes;
};

struct machine_variable {
    char name[64], value[160]; /* of paths only the files' names */
    const struct variable_kind *kind;
};

enum { MACHINE_VARIABLES = 48 };
struct machine_facts {
    struct fact fact[FACT_COUNT];
    struct machine_variable variable[MACHINE_VARIABLES];
    int variables;
};

/* root: the folder that /proc and /sys are read under, "" for the real ones (root_file.h). What libraries say, and the
 * environment, are this process's whatever the root. */
void machine_facts_read(struct machine_facts *m, const char *root);

#endif
