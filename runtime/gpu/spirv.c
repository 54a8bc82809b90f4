/* SPIR-V reflection; opcode and decoration numbers are those of the SPIR-V specification 1.6. */
#include "gpu/spirv.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

enum {
    MAGIC = 0x07230203,
    HEADER_WORDS = 5,
    MAX_IDS = 1 << 20,

    OP_EXECUTION_MODE = 16,
    OP_CAPABILITY = 17,
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_VECTOR = 23,
    OP_TYPE_MATRIX = 24,
    OP_TYPE_IMAGE = 25,
    OP_TYPE_ARRAY = 28,
    OP_TYPE_STRUCT = 30,
    OP_TYPE_POINTER = 32,
    OP_CONSTANT = 43,
    OP_SPEC_CONSTANT = 50,
    OP_CONSTANT_COMPOSITE = 44,
    OP_SPEC_CONSTANT_COMPOSITE = 51,
    OP_VARIABLE = 59,
    OP_DECORATE = 71,
    OP_MEMBER_DECORATE = 72,
    OP_EXECUTION_MODE_ID = 331,

    MODE_LOCAL_SIZE = 17,
    MODE_LOCAL_SIZE_ID = 38,

    DECORATION_SPEC_ID = 1,
    DECORATION_ARRAY_STRIDE = 6,
    DECORATION_MATRIX_STRIDE = 7,
    DECORATION_BUILTIN = 11,
    DECORATION_NON_WRITABLE = 24,
    DECORATION_NON_READABLE = 25,
    DECORATION_BINDING = 33,
    DECORATION_DESCRIPTOR_SET = 34,
    DECORATION_OFFSET = 35,

    BUILTIN_WORKGROUP_SIZE = 25,

    DIM_BUFFER = 5,
    IMAGE_SAMPLED = 1,

    CLASS_UNIFORM_CONSTANT = 0,
    CLASS_UNIFORM = 2,
    CLASS_PUSH_CONSTANT = 9,
    CLASS_STORAGE_BUFFER = 12,

    NONE = -1,
};

/* What is known of an id: the instruction that made it and the decorations that matter. */
typedef struct id_info {
    const uint32_t *op; /* first word of the instruction; NULL: not defined (yet) */
    int64_t spec_id, binding, set, array_stride;
    bool non_writable, non_readable;
    uint32_t members_non_writable, members_non_readable; /* how many members carry it */
} id_info;

typedef struct module {
    const char *name;
    const uint32_t *words;
    size_t n_words;
    id_info *ids;
    uint32_t bound;
    const uint32_t *spec;
    uint32_t n_spec;
    vkdlm_error *err;
} module;

static uint32_t op_length(const uint32_t *op)
{
    return op[0] >> 16;
}

static uint32_t op_code(const uint32_t *op)
{
    return op[0] & 0xFFFFu;
}

static vkdlm_status malformed(const module *m, const char *why)
{
    return error_set(m->err, VKDLM_MALFORMED, "SPIR-V of kernel '%s': %s", m->name, why);
}

/* The id's record, or NULL when the id is out of range. */
static id_info *id_at(const module *m, uint32_t id)
{
    return id < m->bound ? &m->ids[id] : NULL;
}

/* The defining instruction of an id when it has this opcode and at least n words, else NULL. */
static const uint32_t *defined_as(const module *m, uint32_t id, uint32_t code, uint32_t n)
{
    const id_info *info = id_at(m, id);
    return info && info->op && op_code(info->op) == code && op_length(info->op) >= n ? info->op : NULL;
}

/* Position of the result id in an instruction, 0 for instructions that are of no interest here. */
static uint32_t result_position(uint32_t code)
{
    switch (code) {
    case OP_TYPE_INT:
    case OP_TYPE_FLOAT:
    case OP_TYPE_VECTOR:
    case OP_TYPE_MATRIX:
    case OP_TYPE_IMAGE:
    case OP_TYPE_ARRAY:
    case OP_TYPE_STRUCT:
    case OP_TYPE_POINTER:
        return 1;
    case OP_CONSTANT:
    case OP_SPEC_CONSTANT:
    case OP_CONSTANT_COMPOSITE:
    case OP_SPEC_CONSTANT_COMPOSITE:
    case OP_VARIABLE:
        return 2;
    default:
        return 0;
    }
}

static void decorate(id_info *target, const uint32_t *decoration, uint32_t n)
{
    uint32_t value = n > 1 ? decoration[1] : 0;
    switch (decoration[0]) {
    case DECORATION_SPEC_ID:
        target->spec_id = value;
        break;
    case DECORATION_ARRAY_STRIDE:
        target->array_stride = value;
        break;
    case DECORATION_NON_WRITABLE:
        target->non_writable = true;
        break;
    case DECORATION_NON_READABLE:
        target->non_readable = true;
        break;
    case DECORATION_BINDING:
        target->binding = value;
        break;
    case DECORATION_DESCRIPTOR_SET:
        target->set = value;
        break;
    default:
        break;
    }
}

/* First pass: records definitions and decorations. */
static vkdlm_status index_module(module *m)
{
    for (size_t at = HEADER_WORDS; at < m->n_words;) {
        const uint32_t *op = m->words + at;
        uint32_t length = op_length(op);
        if (length == 0 || length > m->n_words - at)
            return malformed(m, "an instruction runs past the end");
        uint32_t position = result_position(op_code(op));
        if (position && position < length) {
            id_info *info = id_at(m, op[position]);
            if (!info)
                return malformed(m, "an id is out of bounds");
            info->op = op;
        }
        if (op_code(op) == OP_DECORATE && length >= 3 && id_at(m, op[1]))
            decorate(id_at(m, op[1]), op + 2, length - 2);
        if (op_code(op) == OP_MEMBER_DECORATE && length >= 4 && id_at(m, op[1])) {
            id_at(m, op[1])->members_non_writable += op[3] == DECORATION_NON_WRITABLE;
            id_at(m, op[1])->members_non_readable += op[3] == DECORATION_NON_READABLE;
        }
        at += length;
    }
    return VKDLM_OK;
}

/* Value of a 32-bit (specialisation) constant; false when the id is something else. */
static bool constant_value(const module *m, uint32_t id, uint32_t *value)
{
    const uint32_t *op = defined_as(m, id, OP_CONSTANT, 4);
    if (!op)
        op = defined_as(m, id, OP_SPEC_CONSTANT, 4);
    if (!op)
        return false;
    int64_t spec_id = id_at(m, id)->spec_id;
    *value = spec_id >= 0 && spec_id < m->n_spec ? m->spec[spec_id] : op[3];
    return true;
}

/* Value of a literal member decoration, NONE when the member has none. */
static int64_t member_decoration(const module *m, uint32_t type, uint32_t member, uint32_t decoration)
{
    for (size_t at = HEADER_WORDS; at < m->n_words; at += op_length(m->words + at)) {
        const uint32_t *op = m->words + at;
        if (op_code(op) == OP_MEMBER_DECORATE && op_length(op) >= 5 && op[1] == type && op[2] == member &&
            op[3] == decoration)
            return op[4];
    }
    return NONE;
}

/* Bytes of a type as laid out in a block, 0 for one without a size. depth bounds the recursion. */
static uint32_t type_bytes(const module *m, uint32_t id, uint32_t matrix_stride, int depth)
{
    const id_info *info = id_at(m, id);
    if (!info || !info->op || depth == 0)
        return 0;
    const uint32_t *op = info->op;
    uint32_t count;
    switch (op_code(op)) {
    case OP_TYPE_INT:
    case OP_TYPE_FLOAT:
        return op[2] / 8;
    case OP_TYPE_VECTOR:
        return op[3] * type_bytes(m, op[2], 0, depth - 1);
    case OP_TYPE_MATRIX:
        return op[3] * matrix_stride;
    case OP_TYPE_ARRAY:
        return constant_value(m, op[3], &count) && info->array_stride > 0
                   ? count * (uint32_t)info->array_stride
                   : 0;
    case OP_TYPE_STRUCT: {
        uint32_t size = 0;
        for (uint32_t i = 0; i + 2 < op_length(op); i++) {
            int64_t offset = member_decoration(m, id, i, DECORATION_OFFSET);
            int64_t stride = member_decoration(m, id, i, DECORATION_MATRIX_STRIDE);
            uint32_t end = (uint32_t)(offset > 0 ? offset : 0) +
                           type_bytes(m, op[2 + i], (uint32_t)(stride > 0 ? stride : 0), depth - 1);
            size = end > size ? end : size;
        }
        return size;
    }
    default:
        return 0;
    }
}

/* The record of a descriptor's binding, NULL (and malformed) when it has no place. */
static spirv_binding *use_binding(const module *m, const id_info *variable, spirv_info *out)
{
    if (variable->set > 0 || variable->binding < 0 || variable->binding >= SPIRV_MAX_BINDINGS) {
        malformed(m, variable->set > 0 ? "a descriptor is not in set 0" : "a binding is missing or too high");
        return NULL;
    }
    if (variable->binding + 1 > out->n_bindings)
        out->n_bindings = (uint32_t)variable->binding + 1;
    out->bindings[variable->binding].used = true;
    return &out->bindings[variable->binding];
}

/* A texel buffer that is read without a sampler. */
static vkdlm_status read_texels(const module *m, const id_info *variable, uint32_t type, spirv_info *out)
{
    const uint32_t *image = defined_as(m, type, OP_TYPE_IMAGE, 9);
    if (!image || image[3] != DIM_BUFFER || image[7] != IMAGE_SAMPLED)
        return malformed(m, "a descriptor is neither a storage buffer nor a texel buffer");
    spirv_binding *b = use_binding(m, variable, out);
    if (!b)
        return VKDLM_MALFORMED;
    const uint32_t *integer = defined_as(m, image[2], OP_TYPE_INT, 4);
    if (integer ? integer[3] != 0 : !defined_as(m, image[2], OP_TYPE_FLOAT, 3))
        return malformed(m, "a texel buffer is neither of floats nor of unsigned integers");
    b->kind = integer ? SPIRV_TEXELS_UINT : SPIRV_TEXELS_FLOAT;
    b->reads = true;
    return VKDLM_OK;
}

static vkdlm_status read_binding(const module *m, const id_info *variable, uint32_t type, spirv_info *out)
{
    spirv_binding *b = use_binding(m, variable, out);
    if (!b)
        return VKDLM_MALFORMED;
    const id_info *block = id_at(m, type);
    if (!block || !block->op || op_code(block->op) != OP_TYPE_STRUCT)
        return malformed(m, "a storage buffer is not a block (arrays of descriptors are not supported)");
    uint32_t n_members = op_length(block->op) - 2;
    /* Two views of one binding (as float and as vec4, say) add up. */
    b->reads = b->reads || !(variable->non_readable || block->members_non_readable == n_members);
    b->writes = b->writes || !(variable->non_writable || block->members_non_writable == n_members);
    return VKDLM_OK;
}

static vkdlm_status read_variable(const module *m, const uint32_t *op, spirv_info *out)
{
    const uint32_t *pointer = op_length(op) >= 4 ? defined_as(m, op[1], OP_TYPE_POINTER, 4) : NULL;
    if (!pointer)
        return malformed(m, "a variable's type is not a pointer");
    switch (op[3]) {
    case CLASS_STORAGE_BUFFER:
        return read_binding(m, id_at(m, op[2]), pointer[3], out);
    case CLASS_PUSH_CONSTANT:
        out->push_bytes = type_bytes(m, pointer[3], 0, 8);
        return VKDLM_OK;
    case CLASS_UNIFORM_CONSTANT:
        return read_texels(m, id_at(m, op[2]), pointer[3], out);
    case CLASS_UNIFORM:
        return malformed(m, "a descriptor is neither a storage buffer nor a texel buffer");
    default:
        return VKDLM_OK;
    }
}

static vkdlm_status read_size_ids(const module *m, const uint32_t *ids, spirv_info *out)
{
    for (int i = 0; i < 3; i++)
        if (!constant_value(m, ids[i], &out->local_size[i]))
            return malformed(m, "the workgroup size is computed from specialisation constants");
    return VKDLM_OK;
}

/* A decoration on a constant takes precedence over the execution mode (SPIR-V 1.6, WorkgroupSize). */
static vkdlm_status read_size_constant(const module *m, uint32_t id, spirv_info *out)
{
    const uint32_t *op = defined_as(m, id, OP_CONSTANT_COMPOSITE, 6);
    if (!op)
        op = defined_as(m, id, OP_SPEC_CONSTANT_COMPOSITE, 6);
    return op ? read_size_ids(m, op + 3, out) : malformed(m, "the workgroup size is not a constant");
}

/* Second pass, over instructions in any order: execution modes, capabilities, variables. */
static vkdlm_status read_module(const module *m, spirv_info *out)
{
    const uint32_t *size_decoration = NULL;
    vkdlm_status status = VKDLM_OK;
    for (size_t at = HEADER_WORDS; at < m->n_words && !status; at += op_length(m->words + at)) {
        const uint32_t *op = m->words + at;
        uint32_t length = op_length(op);
        switch (op_code(op)) {
        case OP_CAPABILITY:
            if (length >= 2 && out->n_capabilities < SPIRV_MAX_CAPABILITIES)
                out->capabilities[out->n_capabilities++] = op[1];
            break;
        case OP_EXECUTION_MODE:
            if (length >= 6 && op[2] == MODE_LOCAL_SIZE)
                memcpy(out->local_size, op + 3, sizeof out->local_size);
            break;
        case OP_EXECUTION_MODE_ID:
            if (length >= 6 && op[2] == MODE_LOCAL_SIZE_ID)
                status = read_size_ids(m, op + 3, out);
            break;
        case OP_DECORATE:
            if (length >= 4 && op[2] == DECORATION_BUILTIN && op[3] == BUILTIN_WORKGROUP_SIZE)
                size_decoration = op;
            break;
        case OP_VARIABLE:
            status = read_variable(m, op, out);
            break;
        default:
            break;
        }
    }
    if (!status && size_decoration)
        status = read_size_constant(m, size_decoration[1], out);
    if (!status && (out->local_size[0] == 0 || out->local_size[1] == 0 || out->local_size[2] == 0))
        status = malformed(m, "the workgroup size is missing or zero");
    return status;
}

vkdlm_status spirv_reflect(const char *name, const uint32_t *words, size_t n_words, const uint32_t *spec,
                           uint32_t n_spec, spirv_info *out, vkdlm_error *err)
{
    memset(out, 0, sizeof *out);
    module m = {.name = name, .words = words, .n_words = n_words, .spec = spec, .n_spec = n_spec, .err = err};
    if (n_words < HEADER_WORDS || words[0] != MAGIC || words[3] > MAX_IDS)
        return malformed(&m, "the header is not one of SPIR-V");
    m.bound = words[3];
    m.ids = calloc(m.bound ? m.bound : 1, sizeof *m.ids);
    if (!m.ids)
        return error_set(err, VKDLM_OUT_OF_HOST_MEMORY, "no memory for %u ids of kernel '%s'", m.bound, name);
    for (uint32_t i = 0; i < m.bound; i++)
        m.ids[i].spec_id = m.ids[i].binding = m.ids[i].set = m.ids[i].array_stride = NONE;
    vkdlm_status status = index_module(&m);
    if (!status)
        status = read_module(&m, out);
    free(m.ids);
    return status;
}
