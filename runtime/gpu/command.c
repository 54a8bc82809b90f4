/* Recording: dispatches, copies, exact barriers, timestamps, one submission. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/internal.h"

/* A range of a buffer touched since the last barrier. */
typedef struct touched {
    void *buffer;
    uint64_t begin, end;
    bool writes;
} touched;

/* What the device is to do. Commands are kept until they are submitted, so that the pipelines may be created
 * in the meantime. */
typedef struct command {
    enum { BARRIER, DISPATCH, COPY, FILL, MARK } kind;
    union {
        struct {
            VkPipelineStageFlags stages;
            VkAccessFlags written;
        } barrier;
        struct {
            gpu_pipeline *pipeline;
            VkDescriptorSet set; /* VK_NULL_HANDLE: no bindings */
            uint32_t push_at;    /* in the recording's push constants */
            uint32_t groups[3];
        } dispatch;
        struct {
            VkBuffer from, to;
            VkBufferCopy region;
        } copy;
        struct {
            VkBuffer buffer;
            uint64_t offset, bytes;
            uint32_t value;
        } fill;
        uint32_t mark;
    } as;
} command;

struct gpu_commands {
    gpu_device *device;
    VkCommandPool pool;
    VkCommandBuffer buffer;
    VkFence fence;
    VkQueryPool queries; /* VK_NULL_HANDLE without timestamps */
    gpu_buffer scratch;  /* zeroed until it is asked for */

    descriptors descriptors;

    command *list; /* of this recording, in order */
    uint32_t n_list, list_room;
    unsigned char *push; /* the push constants of its dispatches */
    uint32_t n_push_bytes, push_room_bytes;

    touched *touched;
    uint32_t n_touched, touched_room;
    VkPipelineStageFlags stages; /* of the commands since the last barrier */
    VkAccessFlags written;       /* how they wrote */

    bool recording, failed;
    vkdlm_error failure;
    uint32_t n_dispatches, n_barriers, n_marks;
    uint64_t marks[GPU_MAX_MARKS];
    uint32_t marks_read; /* valid entries of marks */
};

void gpu_commands_fail(gpu_commands *c, const vkdlm_error *err)
{
    if (!c->failed)
        c->failure = *err;
    c->failed = true;
}

static void fail_result(gpu_commands *c, VkResult result, const char *what)
{
    vkdlm_error err;
    result_set(&err, result, what);
    gpu_commands_fail(c, &err);
}

/* For what callers must not do: it is reported like any other failure, so that a wrong number never reaches
 * the driver. */
__attribute__((format(printf, 2, 3))) static void fail_misuse(gpu_commands *c, const char *format, ...)
{
    vkdlm_error err;
    char text[500];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    error_set(&err, VKDLM_INTERNAL, "%s", text);
    gpu_commands_fail(c, &err);
}

/* ---- life time ---------------------------------------------------------------------------------- */

static VkResult create_objects(gpu_commands *c)
{
    gpu_device *d = c->device;
    VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
        .queueFamilyIndex = d->queue_family,
    };
    VkResult result = d->vk.vkCreateCommandPool(d->handle, &pool, NULL, &c->pool);
    if (result != VK_SUCCESS)
        return result;
    VkCommandBufferAllocateInfo buffer = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
        .commandPool = c->pool,
        .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
        .commandBufferCount = 1,
    };
    result = d->vk.vkAllocateCommandBuffers(d->handle, &buffer, &c->buffer);
    if (result != VK_SUCCESS)
        return result;
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    result = d->vk.vkCreateFence(d->handle, &fence, NULL, &c->fence);
    if (result != VK_SUCCESS || !d->caps.timestamps)
        return result;
    VkQueryPoolCreateInfo queries = {
        .sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
        .queryType = VK_QUERY_TYPE_TIMESTAMP,
        .queryCount = GPU_MAX_MARKS,
    };
    return d->vk.vkCreateQueryPool(d->handle, &queries, NULL, &c->queries);
}

vkdlm_status gpu_commands_create(gpu_device *device, gpu_commands **out, vkdlm_error *err)
{
    *out = NULL;
    gpu_commands *c = calloc(1, sizeof *c);
    if (!c)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for a command recorder");
    c->device = device;
    VkResult result = device->options.compile_only ? VK_SUCCESS : create_objects(c);
    if (result != VK_SUCCESS) {
        gpu_commands_destroy(c);
        return result_set(err, result, "cannot create a command recorder");
    }
    *out = c;
    return VKDLM_OK;
}

void gpu_commands_destroy(gpu_commands *c)
{
    if (!c)
        return;
    gpu_device *d = c->device;
    gpu_buffer_destroy(&c->scratch);
    descriptors_deinit(&c->descriptors, d);
    d->vk.vkDestroyQueryPool(d->handle, c->queries, NULL);
    d->vk.vkDestroyFence(d->handle, c->fence, NULL);
    d->vk.vkDestroyCommandPool(d->handle, c->pool, NULL);
    free(c->push);
    free(c->list);
    free(c->touched);
    free(c);
}

vkdlm_status gpu_commands_scratch(gpu_commands *c, gpu_view *out, vkdlm_error *err)
{
    uint64_t bytes = u64_min(GPU_SCRATCH_BYTES, c->device->caps.max_storage_range_bytes);
    vkdlm_status status = c->scratch.size_bytes ? VKDLM_OK
                                                : gpu_buffer_create(c->device, GPU_MEMORY_DEVICE, bytes,
                                                                    "sums of products", &c->scratch, err);
    if (!status)
        *out = gpu_view_all(&c->scratch);
    return status;
}

/* ---- the list ------------------------------------------------------------------------------------- */

/* The next command of the list, to be filled; NULL when there is no memory for it. */
static command *add(gpu_commands *c)
{
    if (c->n_list == c->list_room) {
        uint32_t room = c->list_room ? 2 * c->list_room : 128;
        command *grown = realloc(c->list, room * sizeof *grown);
        if (!grown) {
            fail_result(c, VK_ERROR_OUT_OF_HOST_MEMORY, "cannot record more commands");
            return NULL;
        }
        c->list = grown;
        c->list_room = room;
    }
    return &c->list[c->n_list++];
}

/* Keeps push constants; false when there is no memory for them. */
static bool add_push(gpu_commands *c, const void *push, uint32_t n_bytes)
{
    if (n_bytes > c->push_room_bytes - c->n_push_bytes) {
        uint32_t room = 2 * c->push_room_bytes + 4096;
        unsigned char *grown = realloc(c->push, room);
        if (!grown) {
            fail_result(c, VK_ERROR_OUT_OF_HOST_MEMORY, "cannot record more commands");
            return false;
        }
        c->push = grown;
        c->push_room_bytes = room;
    }
    if (n_bytes > 0)
        memcpy(c->push + c->n_push_bytes, push, n_bytes);
    c->n_push_bytes += n_bytes;
    return true;
}

/* ---- barriers ----------------------------------------------------------------------------------- */

#define ALL_WRITES   (VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT)
#define ALL_ACCESSES (ALL_WRITES | VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_TRANSFER_READ_BIT)
#define ALL_STAGES   (VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT)

static void memory_barrier(gpu_commands *c, VkPipelineStageFlags from, VkAccessFlags written,
                           VkPipelineStageFlags to, VkAccessFlags accesses)
{
    VkMemoryBarrier barrier = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = written, .dstAccessMask = accesses};
    c->device->vk.vkCmdPipelineBarrier(c->buffer, from, to, 0, 1, &barrier, 0, NULL, 0, NULL);
}

static bool conflicts(const gpu_commands *c, const touched *t)
{
    for (uint32_t i = 0; i < c->n_touched; i++) {
        const touched *o = &c->touched[i];
        if (o->buffer == t->buffer && (o->writes || t->writes) && o->begin < t->end && t->begin < o->end)
            return true;
    }
    return false;
}

static void remember(gpu_commands *c, const touched *t)
{
    for (uint32_t i = 0; i < c->n_touched; i++) {
        touched *o = &c->touched[i];
        if (o->buffer == t->buffer && o->begin == t->begin && o->end == t->end) {
            o->writes = o->writes || t->writes;
            return;
        }
    }
    if (c->n_touched == c->touched_room) {
        uint32_t room = c->touched_room ? 2 * c->touched_room : 64;
        touched *grown = realloc(c->touched, room * sizeof *grown);
        if (!grown) {
            fail_result(c, VK_ERROR_OUT_OF_HOST_MEMORY, "cannot record more commands");
            return;
        }
        c->touched = grown;
        c->touched_room = room;
    }
    c->touched[c->n_touched++] = *t;
}

/* Places a barrier when one of the command's ranges conflicts with what came before, and notes the ranges.
 * One barrier covers everything before it, so the list starts anew. */
static void order(gpu_commands *c, const touched *ranges, uint32_t n, VkPipelineStageFlags stage,
                  VkAccessFlags write)
{
    bool conflict = false;
    for (uint32_t i = 0; i < n && !conflict; i++)
        conflict = conflicts(c, &ranges[i]);
    if (conflict) {
        command *k = add(c);
        if (!k)
            return;
        *k = (command){.kind = BARRIER, .as.barrier = {c->stages, c->written}};
        c->n_barriers++;
        c->n_touched = 0;
        c->stages = 0;
        c->written = 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        remember(c, &ranges[i]);
        c->written |= ranges[i].writes ? write : 0;
    }
    c->stages |= stage;
}

/* ---- recording ---------------------------------------------------------------------------------- */

vkdlm_status gpu_commands_begin(gpu_commands *c, vkdlm_error *err)
{
    gpu_device *d = c->device;
    c->recording = c->failed = false;
    c->n_list = c->n_push_bytes = 0;
    c->n_touched = c->n_dispatches = c->n_barriers = c->n_marks = c->marks_read = 0;
    c->stages = 0;
    c->written = 0;
    if (d->options.compile_only) {
        c->recording = true;
        return VKDLM_OK;
    }
    VkResult result = d->vk.vkResetCommandPool(d->handle, c->pool, 0);
    if (result == VK_SUCCESS)
        result = descriptors_reset(&c->descriptors, d);
    VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT,
    };
    if (result == VK_SUCCESS)
        result = d->vk.vkBeginCommandBuffer(c->buffer, &info);
    if (result != VK_SUCCESS)
        return result_set(err, result, "cannot begin to record commands");
    c->recording = true;
    /* What earlier submissions wrote becomes visible here. */
    memory_barrier(c, ALL_STAGES, ALL_WRITES, ALL_STAGES, ALL_ACCESSES);
    if (c->queries)
        d->vk.vkCmdResetQueryPool(c->buffer, c->queries, 0, GPU_MAX_MARKS);
    return VKDLM_OK;
}

static bool is_recording(gpu_commands *c)
{
    if (!c->recording)
        fail_misuse(c, "a command was recorded outside of a recording");
    return !c->failed;
}

static bool view_is_valid(gpu_commands *c, const gpu_pipeline *p, uint32_t binding, const gpu_view *v)
{
    const gpu_caps *caps = &c->device->caps;
    const char *name = gpu_kernel_name(p->kernel);
    if (!v->buffer || !v->buffer->handle)
        fail_misuse(c, "kernel '%s': binding %u has no buffer", name, binding);
    else if (v->bytes == 0 || v->offset_bytes > v->buffer->size_bytes ||
             v->bytes > v->buffer->size_bytes - v->offset_bytes)
        fail_misuse(c, "kernel '%s': binding %u is %" PRIu64 " bytes at %" PRIu64 " of a buffer of %" PRIu64,
                    name, binding, v->bytes, v->offset_bytes, v->buffer->size_bytes);
    else if (v->bytes > caps->max_storage_range_bytes)
        fail_misuse(c, "kernel '%s': binding %u has %" PRIu64 " bytes, device '%s' binds at most %" PRIu64,
                    name, binding, v->bytes, caps->name, caps->max_storage_range_bytes);
    else if (v->offset_bytes % caps->storage_alignment_bytes)
        fail_misuse(c,
                    "kernel '%s': binding %u starts at %" PRIu64 ", device '%s' wants multiples of %" PRIu64,
                    name, binding, v->offset_bytes, caps->name, caps->storage_alignment_bytes);
    return !c->failed;
}

static bool dispatch_is_valid(gpu_commands *c, const gpu_pipeline *p, const gpu_view *views, uint32_t n_views,
                              uint32_t push_bytes, const uint32_t groups[3])
{
    const char *name = gpu_kernel_name(p->kernel);
    const uint32_t *most = c->device->caps.max_workgroups;
    if (n_views < p->info.n_bindings)
        fail_misuse(c, "kernel '%s' has %u bindings, %u were given", name, p->info.n_bindings, n_views);
    if (p->info.push_bytes && push_bytes != p->info.push_bytes)
        fail_misuse(c, "kernel '%s' has %u bytes of push constants, %u were given", name, p->info.push_bytes,
                    push_bytes);
    if (groups[0] > most[0] || groups[1] > most[1] || groups[2] > most[2])
        fail_misuse(c, "kernel '%s': %u x %u x %u workgroups, device '%s' allows %u x %u x %u", name,
                    groups[0], groups[1], groups[2], c->device->caps.name, most[0], most[1], most[2]);
    for (uint32_t i = 0; i < p->info.n_bindings && !c->failed; i++)
        if (p->info.bindings[i].used)
            view_is_valid(c, p, i, &views[i]);
    return !c->failed;
}

void gpu_dispatch(gpu_commands *c, const gpu_pipeline *p, const gpu_view *views, uint32_t n_views,
                  const void *push, uint32_t push_bytes, uint32_t groups_x, uint32_t groups_y,
                  uint32_t groups_z)
{
    if (!is_recording(c) || groups_x == 0 || groups_y == 0 || groups_z == 0)
        return;
    const uint32_t groups[3] = {groups_x, groups_y, groups_z};
    gpu_device *d = c->device;
    if (!dispatch_is_valid(c, p, views, n_views, push_bytes, groups) || d->options.compile_only)
        return;
    touched ranges[SPIRV_MAX_BINDINGS];
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->info.n_bindings; i++)
        if (p->info.bindings[i].used)
            ranges[n++] = (touched){views[i].buffer->handle, views[i].offset_bytes,
                                    views[i].offset_bytes + views[i].bytes, p->info.bindings[i].writes};
    order(c, ranges, n, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_ACCESS_SHADER_WRITE_BIT);
    vkdlm_error err;
    VkDescriptorSet set = VK_NULL_HANDLE;
    if (n > 0 && descriptors_write(&c->descriptors, d, p, views, &set, &err)) {
        gpu_commands_fail(c, &err);
        return;
    }
    uint32_t push_at = c->n_push_bytes;
    command *k = add(c);
    if (!k || !add_push(c, push, p->info.push_bytes))
        return;
    /* Only its state, which its own lock guards, will change. */
    gpu_pipeline *pipeline = (gpu_pipeline *)p;
    *k = (command){.kind = DISPATCH, .as.dispatch = {pipeline, set, push_at, {groups_x, groups_y, groups_z}}};
    c->n_dispatches++;
}

static bool copy_range_is_valid(gpu_commands *c, const gpu_buffer *b, uint64_t offset, uint64_t bytes)
{
    if (!b->handle || offset > b->size_bytes || bytes > b->size_bytes - offset)
        fail_misuse(c, "a copy touches %" PRIu64 " bytes at %" PRIu64 " of a buffer of %" PRIu64, bytes,
                    offset, b->size_bytes);
    return !c->failed;
}

void gpu_copy(gpu_commands *c, const gpu_buffer *from, uint64_t from_offset, const gpu_buffer *to,
              uint64_t to_offset, uint64_t bytes)
{
    if (!is_recording(c) || bytes == 0 || !copy_range_is_valid(c, from, from_offset, bytes) ||
        !copy_range_is_valid(c, to, to_offset, bytes) || c->device->options.compile_only)
        return;
    const touched ranges[2] = {{from->handle, from_offset, from_offset + bytes, false},
                               {to->handle, to_offset, to_offset + bytes, true}};
    order(c, ranges, 2, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    command *k = add(c);
    if (k)
        *k = (command){.kind = COPY, .as.copy = {from->handle, to->handle, {from_offset, to_offset, bytes}}};
}

void gpu_fill(gpu_commands *c, const gpu_buffer *buffer, uint64_t offset, uint64_t bytes, uint32_t value)
{
    if (!is_recording(c) || bytes == 0 || !copy_range_is_valid(c, buffer, offset, bytes))
        return;
    if (offset % 4 || bytes % 4) {
        fail_misuse(c, "a fill of %" PRIu64 " bytes at %" PRIu64 " is not a multiple of 4", bytes, offset);
        return;
    }
    if (c->device->options.compile_only)
        return;
    const touched range = {buffer->handle, offset, offset + bytes, true};
    order(c, &range, 1, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_ACCESS_TRANSFER_WRITE_BIT);
    command *k = add(c);
    if (k)
        *k = (command){.kind = FILL, .as.fill = {buffer->handle, offset, bytes, value}};
}

void gpu_mark(gpu_commands *c)
{
    if (!is_recording(c) || !c->queries || c->n_marks == GPU_MAX_MARKS || c->device->options.compile_only)
        return;
    command *k = add(c);
    if (k)
        *k = (command){.kind = MARK, .as.mark = c->n_marks++};
}

/* ---- submission --------------------------------------------------------------------------------- */

/* Waits for the pipelines of the recording. */
static vkdlm_status wait_pipelines(gpu_commands *c, vkdlm_error *err)
{
    vkdlm_status status = VKDLM_OK;
    for (uint32_t i = 0; i < c->n_list && !status; i++)
        if (c->list[i].kind == DISPATCH)
            status = compiler_wait(c->device, c->list[i].as.dispatch.pipeline, err);
    return status;
}

static void emit_dispatch(const gpu_commands *c, const command *k, const gpu_pipeline **bound)
{
    const struct VolkDeviceTable *vk = &c->device->vk;
    const gpu_pipeline *p = k->as.dispatch.pipeline;
    const uint32_t *groups = k->as.dispatch.groups;
    if (k->as.dispatch.set)
        vk->vkCmdBindDescriptorSets(c->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, p->layout, 0, 1,
                                    &k->as.dispatch.set, 0, NULL);
    if (*bound != p)
        vk->vkCmdBindPipeline(c->buffer, VK_PIPELINE_BIND_POINT_COMPUTE, p->handle);
    *bound = p;
    if (p->info.push_bytes)
        vk->vkCmdPushConstants(c->buffer, p->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, p->info.push_bytes,
                               c->push + k->as.dispatch.push_at);
    vk->vkCmdDispatch(c->buffer, groups[0], groups[1], groups[2]);
}

/* Writes the list into the command buffer. */
static void emit(gpu_commands *c)
{
    const struct VolkDeviceTable *vk = &c->device->vk;
    const gpu_pipeline *bound = NULL;
    for (uint32_t i = 0; i < c->n_list; i++) {
        const command *k = &c->list[i];
        switch (k->kind) {
        case BARRIER:
            memory_barrier(c, k->as.barrier.stages, k->as.barrier.written, ALL_STAGES, ALL_ACCESSES);
            break;
        case DISPATCH:
            emit_dispatch(c, k, &bound);
            break;
        case COPY:
            vk->vkCmdCopyBuffer(c->buffer, k->as.copy.from, k->as.copy.to, 1, &k->as.copy.region);
            break;
        case FILL:
            vk->vkCmdFillBuffer(c->buffer, k->as.fill.buffer, k->as.fill.offset, k->as.fill.bytes,
                                k->as.fill.value);
            break;
        case MARK:
            vk->vkCmdWriteTimestamp(c->buffer, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, c->queries, k->as.mark);
            break;
        }
    }
}

static vkdlm_status read_marks(gpu_commands *c, vkdlm_error *err)
{
    gpu_device *d = c->device;
    if (c->n_marks == 0)
        return VKDLM_OK;
    VkResult result =
        d->vk.vkGetQueryPoolResults(d->handle, c->queries, 0, c->n_marks, c->n_marks * sizeof *c->marks,
                                    c->marks, sizeof *c->marks, VK_QUERY_RESULT_64_BIT);
    if (result == VK_SUCCESS)
        c->marks_read = c->n_marks;
    /* Times that never become ready are no reason to lose the results. */
    return result < 0 ? result_set(err, result, "cannot read the device's clock") : VKDLM_OK;
}

vkdlm_status gpu_submit_wait(gpu_commands *c, vkdlm_error *err)
{
    gpu_device *d = c->device;
    if (!c->recording)
        fail_misuse(c, "a submission without a recording");
    c->recording = false;
    if (c->failed) {
        if (err)
            *err = c->failure;
        return c->failure.status;
    }
    if (d->options.compile_only)
        return VKDLM_OK;
    vkdlm_status status = wait_pipelines(c, err);
    if (status)
        return status;
    emit(c);
    memory_barrier(c, ALL_STAGES, ALL_WRITES, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    VkResult result = d->vk.vkEndCommandBuffer(c->buffer);
    if (result == VK_SUCCESS)
        result = d->vk.vkResetFences(d->handle, 1, &c->fence);
    if (result == VK_SUCCESS)
        result = device_submit(d, c->buffer, c->fence);
    if (result != VK_SUCCESS)
        return result_set(err, result, "cannot submit work to the device");
    status = device_wait(d, c->fence, err);
    if (status)
        return status;
    descriptors_drop_texels(&c->descriptors, d);
    return read_marks(c, err);
}

uint64_t gpu_mark_ns(const gpu_commands *c, uint32_t interval)
{
    if (c->marks_read < 2 || interval >= c->marks_read - 1 || c->marks[interval + 1] < c->marks[interval])
        return 0;
    return (uint64_t)((double)(c->marks[interval + 1] - c->marks[interval]) * c->device->caps.timestamp_ns);
}

uint32_t gpu_commands_dispatches(const gpu_commands *c)
{
    return c->n_dispatches;
}

uint32_t gpu_commands_barriers(const gpu_commands *c)
{
    return c->n_barriers;
}
