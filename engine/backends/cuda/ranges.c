/* SPDX-License-Identifier: MIT
 * Names for whoever looks on with NVIDIA's tools: a range for each pass, and within it one for each op that is handed over by
 * itself, its layer as the range's payload. A recorded step is one call and has no ops. Without a tool a range costs a few
 * nanoseconds. */
#include <nvtx3/nvToolsExt.h>

#include "cuda_host.h"

static void begin_op(void *ctx, enum op op, int layer)
{
    const nvtxEventAttributes_t range = {
        .version = NVTX_VERSION,
        .size = NVTX_EVENT_ATTRIB_STRUCT_SIZE,
        .payloadType = layer < 0 ? NVTX_PAYLOAD_UNKNOWN : NVTX_PAYLOAD_TYPE_INT32,
        .payload.iValue = layer,
        .messageType = NVTX_MESSAGE_TYPE_ASCII,
        .message.ascii = op_name(op),
    };

    (void)ctx;
    nvtxRangePushEx(&range);
}

static void end_op(void *ctx, enum op op, int layer)
{
    (void)ctx, (void)op, (void)layer;
    nvtxRangePop();
}

const struct engine_hooks cuda_ranges = {.op_begin = begin_op, .op_end = end_op};

/* Without a cache every step is a prefill. */
void cuda_range_begin(struct cuda *g, const struct pass *p)
{
    nvtxRangePushA(p->past == 0 ? "prefill" : "decode");
    g->in_range = true;
}

void cuda_range_end(struct cuda *g)
{
    if (g->in_range)
        nvtxRangePop();
    g->in_range = false;
}
