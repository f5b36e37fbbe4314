/* SPDX-License-Identifier: MIT
 * cublasLt counts in columns: our row-major W[out][in] is its in x out matrix A, x[rows][in] its in x rows matrix B, and
 * D = A^T B, out x rows, is our y[rows][out]; nothing is moved. A product (a matrix's shape and what becomes of the sums) knows
 * one decision for each power of two of rows, taken by timing, and what came of it for the exact numbers of rows that were
 * computed last: the steady path is a look into these. */
#include "matmul.h"

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>

#include "launch.h"

enum {
    POWERS = 14,          /* to 8192 rows: more rows are more rounds of the same tiles, and take as long to time */
    SHAPES = 256,         /* places for numbers of rows that a product remembers, each at its remainder */
    CANDIDATES = 8,       /* algorithms that are timed */
    ROUNDS = 4,           /* of all candidates, the first to warm up; taken in turns, so that clocks change for all alike */
    RUNS = 3,             /* in a round, of what is short */
    WORKSPACE = 32 << 20, /* what NVIDIA recommends for Hopper; less is enough elsewhere */
    ALIGNMENT = 16,       /* bytes, of what callers pass */
    REDUCTIONS = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, /* parts of sums stay float32 */
};
static const float better = 0.98f; /* of the best time so far: between equals the heuristic's order decides, not noise */
static const float long_ms = 1;    /* of a run that is timed well by itself */

/* What plans depend on besides rows. */
struct kind {
    int rows, cols; /* of the weights */
    size_t row_bytes;
    enum dtype weights, out;
    bool bias, add;
};

struct shape {
    int rows; /* 0: none yet */
    cublasLtMatrixLayout_t x, y;
    cublasLtMatmulAlgo_t algorithm;
};

struct product {
    struct product *next;
    struct kind kind;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t weights;
    bool decided[POWERS];
    cublasLtMatmulAlgo_t decision[POWERS];
    struct shape shape[SHAPES];
};

struct matmul {
    cublasLtHandle_t lt;
    cublasLtMatmulPreference_t preference;
    cudaStream_t stream;
    cudaEvent_t begin, end;
    void *workspace;
    struct product *products;
    char about[32];
};

struct operands {
    const void *weights, *x;
    void *y;
    const float *bias;
};

static const cudaDataType_t types[DTYPE_COUNT] = {
    [DTYPE_F32] = CUDA_R_32F, [DTYPE_F16] = CUDA_R_16F, [DTYPE_BF16] = CUDA_R_16BF};

static int check(cublasStatus_t status, const char *what, struct err *e)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return 0;
    return err_set(e, status == CUBLAS_STATUS_ALLOC_FAILED ? ERR_MEMORY : ERR_IO, "backend cuda: cublasLt: %s: %s", what,
                   cublasLtGetStatusString(status));
}

static int check_cuda(cudaError_t code, const char *what, struct err *e)
{
    if (code == cudaSuccess)
        return 0;
    cudaGetLastError(); /* a refusal leaves no mark on what comes after */
    return err_set(e, code == cudaErrorMemoryAllocation ? ERR_MEMORY : ERR_IO, "backend cuda: %s: %s", what,
                   cudaGetErrorString(code));
}

static int check_product(cublasStatus_t status, const struct kind *k, int rows, struct err *e)
{
    char what[128];

    if (status == CUBLAS_STATUS_SUCCESS)
        return 0;
    snprintf(what, sizeof what, "a product of %d rows with a %d x %d matrix of %s%s%s, into %s", rows, k->rows, k->cols,
             dtype_full_name(k->weights), k->bias ? ", with bias" : "", k->add ? ", added" : "", dtype_full_name(k->out));
    return check(status, what, e);
}

/* --- products ----------------------------------------------------------------------------------------------------------------
 */

static int check_kind(const struct kind *k, struct err *e)
{
    if (k->weights != DTYPE_F32 && k->weights != DTYPE_F16 && k->weights != DTYPE_BF16)
        return err_set(e, ERR_USAGE, "backend cuda multiplies weights of float32, float16 and bfloat16, not %s",
                       dtype_full_name(k->weights));
    if (k->out != DTYPE_F32 && k->out != k->weights)
        return err_set(e, ERR_USAGE, "backend cuda: products with %s weights give float32 or the weights' dtype, not %s",
                       dtype_full_name(k->weights), dtype_full_name(k->out));
    if (k->bias && k->out != DTYPE_F32)
        return err_set(e, ERR_USAGE, "backend cuda: a product's bias is added in float32, not in %s", dtype_full_name(k->out));
    return 0;
}

static bool same_kind(const struct kind *a, const struct kind *b)
{
    return a->rows == b->rows && a->cols == b->cols && a->row_bytes == b->row_bytes && a->weights == b->weights &&
           a->out == b->out && a->bias == b->bias && a->add == b->add;
}

static cublasStatus_t set_operation(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t attribute, const void *v, size_t n)
{
    return cublasLtMatmulDescSetAttribute(d, attribute, v, n);
}

static cublasStatus_t set_bias(cublasLtMatmulDesc_t d, const float *bias)
{
    return set_operation(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
}

static cublasStatus_t describe(struct product *p)
{
    const struct kind *k = &p->kind;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const int32_t bias_type = CUDA_R_32F;
    const int64_t stride = (int64_t)(k->row_bytes / dtype_bytes(k->weights, 1));
    cublasStatus_t s = cublasLtMatmulDescCreate(&p->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);

    if (s == CUBLAS_STATUS_SUCCESS)
        s = set_operation(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    if (s == CUBLAS_STATUS_SUCCESS && k->bias)
        s = set_operation(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (s == CUBLAS_STATUS_SUCCESS && k->bias)
        s = set_operation(p->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &bias_type, sizeof bias_type);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = cublasLtMatrixLayoutCreate(&p->weights, types[k->weights], (uint64_t)k->cols, (uint64_t)k->rows, stride);
    return s;
}

static void forget_shape(struct shape *s)
{
    if (s->x)
        cublasLtMatrixLayoutDestroy(s->x);
    if (s->y)
        cublasLtMatrixLayoutDestroy(s->y);
    *s = (struct shape){0};
}

static void forget_product(struct product *p)
{
    for (int i = 0; i < SHAPES; i++)
        forget_shape(&p->shape[i]);
    if (p->weights)
        cublasLtMatrixLayoutDestroy(p->weights);
    if (p->operation)
        cublasLtMatmulDescDestroy(p->operation);
    free(p);
}

/* The product of that kind, made where there was none. */
static int find_product(struct product **out, struct matmul *m, const struct kind *k, struct err *e)
{
    struct product *p = m->products;

    while (p && !same_kind(&p->kind, k))
        p = p->next;
    *out = p;
    if (p)
        return 0;
    int code = check_kind(k, e);
    if (code < 0)
        return code;
    if (!(p = calloc(1, sizeof *p)))
        return err_set(e, ERR_MEMORY, "backend cuda: out of memory");
    p->kind = *k;
    code = check_product(describe(p), k, 1, e);
    if (code < 0) {
        forget_product(p);
        return code;
    }
    p->next = m->products;
    m->products = *out = p;
    return 0;
}

static struct kind kind_of(const struct matrix *w, enum dtype out, bool bias, bool add)
{
    return (struct kind){w->rows, w->cols, w->row_bytes, w->dtype, out, bias, add};
}

/* --- algorithms --------------------------------------------------------------------------------------------------------------
 */

static cublasStatus_t make_shape(struct shape *s, const struct kind *k, int rows)
{
    const uint64_t columns = (uint64_t)rows;
    cublasStatus_t status;

    *s = (struct shape){.rows = rows};
    status = cublasLtMatrixLayoutCreate(&s->x, types[k->weights], (uint64_t)k->cols, columns, k->cols);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatrixLayoutCreate(&s->y, types[k->out], (uint64_t)k->rows, columns, k->rows);
    return status;
}

static cublasStatus_t compute(struct matmul *m, const struct product *p, const struct shape *s,
                              const cublasLtMatmulAlgo_t *algorithm, const struct operands *o)
{
    const float one = 1, beta = p->kind.add ? 1 : 0;
    cublasStatus_t status = p->kind.bias ? set_bias(p->operation, o->bias) : CUBLAS_STATUS_SUCCESS;

    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    return cublasLtMatmul(m->lt, p->operation, &one, o->weights, p->weights, o->x, s->x, &beta, o->y, s->y, o->y, s->y,
                          algorithm, m->workspace, WORKSPACE, m->stream);
}

/* Of a bias, too, cublasLt is told only how it is aligned. */
static cublasStatus_t show_alignment(const struct product *p)
{
    return p->kind.bias ? set_bias(p->operation, (const float *)ALIGNMENT) : CUBLAS_STATUS_SUCCESS;
}

/* At least one algorithm, the best by the heuristic first. */
static cublasStatus_t ask(struct matmul *m, const struct product *p, const struct shape *s, cublasLtMatmulAlgo_t *algorithms,
                          int most, int *n)
{
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int returned = 0;
    cublasStatus_t status = show_alignment(p);

    *n = 0;
    if (status == CUBLAS_STATUS_SUCCESS)
        status = cublasLtMatmulAlgoGetHeuristic(m->lt, p->operation, p->weights, s->x, s->y, s->y, m->preference, most, found,
                                                &returned);
    for (int i = 0; status == CUBLAS_STATUS_SUCCESS && i < returned; i++)
        if (found[i].state == CUBLAS_STATUS_SUCCESS)
            algorithms[(*n)++] = found[i].algo;
    return status == CUBLAS_STATUS_SUCCESS && *n == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : status;
}

static bool runs_here(struct matmul *m, const struct product *p, const struct shape *s, const cublasLtMatmulAlgo_t *algorithm)
{
    cublasLtMatmulHeuristicResult_t result;

    return show_alignment(p) == CUBLAS_STATUS_SUCCESS &&
           cublasLtMatmulAlgoCheck(m->lt, p->operation, p->weights, s->x, s->y, s->y, algorithm, &result) ==
               CUBLAS_STATUS_SUCCESS &&
           result.workspaceSize <= WORKSPACE;
}

static int power_of(int rows)
{
    int power = 0;

    while (power < POWERS - 1 && 1 << power < rows)
        power++;
    return power;
}

/* The algorithm decided for the power of two, where it can do exactly these rows, else the heuristic's for them. */
static cublasStatus_t choose(struct matmul *m, const struct product *p, struct shape *s)
{
    const int power = power_of(s->rows);
    int n;

    if (!p->decided[power] || !runs_here(m, p, s, &p->decision[power]))
        return ask(m, p, s, &s->algorithm, 1, &n);
    s->algorithm = p->decision[power];
    return CUBLAS_STATUS_SUCCESS;
}

static int find_shape(struct shape **out, struct matmul *m, struct product *p, int rows, struct err *e)
{
    struct shape *s = &p->shape[(unsigned)rows % SHAPES];

    *out = s;
    if (rows > 0 && s->rows == rows)
        return 0;
    forget_shape(s);
    cublasStatus_t status = make_shape(s, &p->kind, rows);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = choose(m, p, s);
    if (status != CUBLAS_STATUS_SUCCESS) {
        forget_shape(s);
        return check_product(status, &p->kind, rows, e);
    }
    return 0;
}

int matmul_run(struct matmul *m, const struct matrix *w, const void *x, int rows, void *y, enum dtype out, const float *bias,
               bool add, struct err *e)
{
    const struct kind k = kind_of(w, out, bias != NULL, add);
    const struct operands o = {w->data, x, y, bias};
    struct product *p;
    struct shape *s = NULL;
    int code = find_product(&p, m, &k, e);

    if (code == 0)
        code = find_shape(&s, m, p, rows, e);
    return code < 0 ? code : check_product(compute(m, p, s, &s->algorithm, &o), &k, rows, e);
}

/* --- timing ------------------------------------------------------------------------------------------------------------------
 */

/* What is the device's trouble, not that of one algorithm: the library offers some that it does not run after all. */
static bool is_trouble(cublasStatus_t status)
{
    return status == CUBLAS_STATUS_EXECUTION_FAILED || status == CUBLAS_STATUS_ALLOC_FAILED ||
           status == CUBLAS_STATUS_NOT_INITIALIZED;
}

/* Milliseconds of a run; negative where the algorithm cannot be run. */
static int time_runs(float *ms, struct matmul *m, const struct product *p, const struct shape *s,
                     const cublasLtMatmulAlgo_t *algorithm, int runs, const struct operands *o, struct err *e)
{
    int code = check_cuda(cudaEventRecord(m->begin, m->stream), "timing a product", e);

    *ms = -1;
    for (int i = 0; code == 0 && i < runs; i++) {
        cublasStatus_t status = compute(m, p, s, algorithm, o);
        if (status != CUBLAS_STATUS_SUCCESS && !is_trouble(status))
            return 0;
        code = check_product(status, &p->kind, s->rows, e);
    }
    if (code == 0)
        code = check_cuda(cudaEventRecord(m->end, m->stream), "timing a product", e);
    if (code == 0)
        code = check_cuda(cudaEventSynchronize(m->end), "timing a product", e);
    if (code == 0)
        code = check_cuda(cudaEventElapsedTime(ms, m->begin, m->end), "timing a product", e);
    *ms /= (float)runs;
    return code;
}

/* Index of the fastest of n, or -1 where none can be run. */
static int time_all(int *fastest, struct matmul *m, const struct product *p, const struct shape *s,
                    const cublasLtMatmulAlgo_t *algorithms, int n, const struct operands *o, struct err *e)
{
    float least[CANDIDATES];
    bool refused[CANDIDATES] = {false};

    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < n; i++) {
            const int runs = round < 2 || least[i] > long_ms ? 1 : RUNS;
            float ms = -1;
            int code = refused[i] ? 0 : time_runs(&ms, m, p, s, &algorithms[i], runs, o, e);
            if (code < 0)
                return code;
            refused[i] |= ms < 0;
            least[i] = round <= 1 || ms < least[i] ? ms : least[i];
        }
    *fastest = -1;
    for (int i = 0; i < n; i++)
        if (!refused[i] && (*fastest < 0 || least[i] < better * least[*fastest]))
            *fastest = i;
    return 0;
}

static int decide(struct matmul *m, struct product *p, int power, int rows, const struct operands *o, struct err *e)
{
    cublasLtMatmulAlgo_t algorithms[CANDIDATES];
    struct shape s;
    int n = 0, fastest = 0;
    cublasStatus_t status = make_shape(&s, &p->kind, rows);

    if (status == CUBLAS_STATUS_SUCCESS)
        status = ask(m, p, &s, algorithms, CANDIDATES, &n);
    int code = check_product(status, &p->kind, rows, e);
    if (code == 0 && n > 1)
        code = time_all(&fastest, m, p, &s, algorithms, n, o, e);
    if (code == 0 && fastest < 0)
        code = check_product(CUBLAS_STATUS_NOT_SUPPORTED, &p->kind, rows, e);
    forget_shape(&s);
    if (code < 0)
        return code;
    p->decision[power] = algorithms[fastest];
    p->decided[power] = true;
    for (int i = 0; i < SHAPES; i++) /* what was chosen without this decision */
        if (p->shape[i].rows > 0 && power_of(p->shape[i].rows) == power)
            forget_shape(&p->shape[i]);
    return 0;
}

/* On zeros a GPU draws less power, and so runs at other clocks than it will. */
static int fill_with_numbers(struct matmul *m, const struct matrix *w, int rows, void *x, struct err *e)
{
    const struct matrix numbers = {x, w->dtype, rows, w->cols, dtype_bytes(w->dtype, (size_t)w->cols)};

    return check_cuda(launch_synthesize(m->stream, &numbers, 1, 0, 1), "making numbers to multiply", e);
}

int matmul_prepare(struct matmul *m, const struct matrix *w, int rows, enum dtype out, bool bias, bool add, void *x, void *y,
                   struct err *e)
{
    const struct kind k = kind_of(w, out, bias, add);
    const struct operands o = {w->data, x, y, w->data}; /* for a bias any floats will do, so the weights' own bytes */
    const int last = power_of(rows);
    struct product *p;
    int code = find_product(&p, m, &k, e), power = 0;

    while (code == 0 && power <= last && p->decided[power])
        power++;
    if (code == 0 && power <= last)
        code = fill_with_numbers(m, w, rows, x, e);
    for (; code == 0 && power <= last; power++)
        code = decide(m, p, power, 1 << power < rows ? 1 << power : rows, &o, e);
    return code;
}

/* --- opening -----------------------------------------------------------------------------------------------------------------
 */

static cublasStatus_t make_preference(cublasLtMatmulPreference_t *p)
{
    static const cublasLtMatmulPreferenceAttributes_t aligned[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint64_t workspace = WORKSPACE;
    const uint32_t alignment = ALIGNMENT, reductions = REDUCTIONS;
    cublasStatus_t s = cublasLtMatmulPreferenceCreate(p);

    if (s == CUBLAS_STATUS_SUCCESS)
        s = cublasLtMatmulPreferenceSetAttribute(*p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = cublasLtMatmulPreferenceSetAttribute(*p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions,
                                                 sizeof reductions);
    for (size_t i = 0; s == CUBLAS_STATUS_SUCCESS && i < sizeof aligned / sizeof *aligned; i++)
        s = cublasLtMatmulPreferenceSetAttribute(*p, aligned[i], &alignment, sizeof alignment);
    return s;
}

static int make(struct matmul *m, struct err *e)
{
    const size_t version = cublasLtGetVersion();
    int code = check(cublasLtCreate(&m->lt), "it does not start", e);

    snprintf(m->about, sizeof m->about, "cublasLt %zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
    if (code == 0)
        code = check(make_preference(&m->preference), "preferences", e);
    if (code == 0)
        code = check_cuda(cudaMalloc(&m->workspace, WORKSPACE), "a workspace of 32 MiB for cublasLt", e);
    if (code == 0)
        code = check_cuda(cudaEventCreate(&m->begin), "an event", e);
    return code < 0 ? code : check_cuda(cudaEventCreate(&m->end), "an event", e);
}

int matmul_open(struct matmul **out, cudaStream_t stream, struct err *e)
{
    struct matmul *m = calloc(1, sizeof *m);

    *out = NULL;
    if (!m)
        return err_set(e, ERR_MEMORY, "backend cuda: out of memory");
    m->stream = stream;
    int code = make(m, e);
    if (code < 0) {
        matmul_close(m);
        return code;
    }
    *out = m;
    return 0;
}

void matmul_close(struct matmul *m)
{
    if (!m)
        return;
    while (m->products) {
        struct product *p = m->products;
        m->products = p->next;
        forget_product(p);
    }
    if (m->end)
        cudaEventDestroy(m->end);
    if (m->begin)
        cudaEventDestroy(m->begin);
    cudaFree(m->workspace);
    if (m->preference)
        cublasLtMatmulPreferenceDestroy(m->preference);
    if (m->lt)
        cublasLtDestroy(m->lt);
    free(m);
}

const char *matmul_about(const struct matmul *m)
{
    return m->about;
}
