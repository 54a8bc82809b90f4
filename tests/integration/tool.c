/* integration_tool: what the scripts of this folder cannot do in the shell. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <vkdlm/vkdlm.h>

#include "tool.h"

enum { MAX_TENSORS = 512 };

int tool_fail(const char *what, const char *detail)
{
    fprintf(stderr, "integration_tool: %s: %s\n", what, detail);
    return 1;
}

/* json PATH: for each line of standard input, which must be one JSON object, the member at PATH: text as it
 * is, ids between spaces, anything else as JSON. */
static int json_member(const char *path)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        json_error_t why;
        json_t *root = json_loadb(line, (size_t)size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
        if (!json_is_object(root))
            return tool_fail("not a JSON object", line);
        const json_t *value = root;
        char part[256];
        for (const char *s = path; *s && value;) {
            size_t n = strcspn(s, ".");
            snprintf(part, sizeof part, "%.*s", (int)n, s);
            value = json_object_get(value, part);
            s += n + (s[n] == '.');
        }
        if (!value)
            return tool_fail("no member", path);
        if (json_is_string(value)) {
            puts(json_string_value(value));
        } else if (json_is_array(value)) {
            for (size_t i = 0; i < json_array_size(value); i++) {
                char *text = json_dumps(json_array_get(value, i), JSON_ENCODE_ANY | JSON_COMPACT);
                printf("%s%s", i ? " " : "", text);
                free(text);
            }
            putchar('\n');
        } else {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
            puts(text);
            free(text);
        }
        json_decref(root);
    }
    free(line);
    return 0;
}

/* tokens OUT DTYPE SEQUENCES LENGTH ID [SIGMA_COUNT]: a file with `tokens`, and `sigma` of zeros. */
static int write_tokens(int argc, char **argv)
{
    vkdlm_error err;
    vkdlm_tensors_writer *writer = NULL;
    uint64_t n_sequences = strtoull(argv[2], NULL, 10), length = strtoull(argv[3], NULL, 10);
    int32_t id = (int32_t)strtol(argv[4], NULL, 10);
    uint64_t n_sigma = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
    vkdlm_tensor_spec specs[2] = {{"tokens", VKDLM_DTYPE_I32, 2, {n_sequences, length}},
                                  {"sigma", VKDLM_DTYPE_F32, 1, {n_sigma}}};
    if (!strcmp(argv[1], "I64"))
        specs[0].dtype = VKDLM_DTYPE_I64;
    if (!strcmp(argv[1], "FLAT")) {
        specs[0].n_dims = 1;
        specs[0].shape[0] = n_sequences * length;
    }
    uint64_t n_words = n_sequences * length * (specs[0].dtype == VKDLM_DTYPE_I64 ? 2 : 1);
    int32_t *ids = calloc(n_words ? n_words : 1, sizeof *ids);
    float *sigma = calloc(n_sigma ? n_sigma : 1, sizeof *sigma);
    if (!ids || !sigma)
        return tool_fail("memory", argv[0]);
    for (uint64_t i = 0; i < n_words; i++)
        ids[i] = id;
    if (vkdlm_tensors_writer_create(argv[0], specs, n_sigma ? 2 : 1, NULL, 0, &writer, &err))
        return tool_fail("cannot create", err.message);
    vkdlm_status status = vkdlm_tensors_writer_write(writer, 0, 0, ids, n_words * sizeof *ids, &err);
    if (!status && n_sigma)
        status = vkdlm_tensors_writer_write(writer, 1, 0, sigma, n_sigma * sizeof *sigma, &err);
    if (!status)
        status = vkdlm_tensors_writer_finish(writer, &err);
    free(ids);
    free(sigma);
    return status ? tool_fail("cannot write", err.message) : 0;
}

/* model IN OUT CHANGE TENSOR: a copy of a safetensors file in which TENSOR is missing, twice as long
 * ("shape"), of whole numbers ("dtype"), filled with NaN ("nan"), or new ("extra"). */
static int copy_model(char **argv)
{
    vkdlm_error err;
    vkdlm_tensors *in = NULL;
    vkdlm_tensors_writer *writer = NULL;
    vkdlm_tensor_spec specs[MAX_TENSORS];
    const vkdlm_tensor *sources[MAX_TENSORS];
    const char *change = argv[2], *name = argv[3];
    size_t n = 0;
    if (vkdlm_tensors_open(argv[0], &in, &err))
        return tool_fail("cannot open", err.message);
    for (size_t i = 0; i < vkdlm_tensors_count(in) && n + 1 < MAX_TENSORS; i++) {
        const vkdlm_tensor *t = vkdlm_tensors_at(in, i);
        bool meant = !strcmp(t->name, name);
        if (meant && !strcmp(change, "missing"))
            continue;
        specs[n] = (vkdlm_tensor_spec){.name = t->name, .dtype = t->dtype, .n_dims = t->n_dims};
        memcpy(specs[n].shape, t->shape, sizeof specs[n].shape);
        sources[n] = t;
        if (meant && !strcmp(change, "shape"))
            specs[n].shape[0] *= 2;
        if (meant && !strcmp(change, "dtype"))
            specs[n].dtype = vkdlm_dtype_size(t->dtype) == 2 ? VKDLM_DTYPE_I16 : VKDLM_DTYPE_I32;
        n++;
    }
    if (!strcmp(change, "extra")) {
        specs[n] = (vkdlm_tensor_spec){name, VKDLM_DTYPE_F32, 1, {1}};
        sources[n++] = NULL;
    }
    if (vkdlm_tensors_writer_create(argv[1], specs, n, NULL, 0, &writer, &err))
        return tool_fail("cannot create", err.message);
    for (size_t i = 0; i < n; i++) {
        const vkdlm_tensor *t = sources[i];
        uint64_t n_bytes = t ? t->n_bytes : 4;
        bool doubled = t && specs[i].shape[0] != t->shape[0];
        bool nan = t && !strcmp(t->name, name) && !strcmp(change, "nan");
        void *fill = calloc(1, n_bytes);
        if (!fill)
            return tool_fail("memory", argv[1]);
        if (nan)
            memset(fill, 0xff, n_bytes);
        else if (t)
            memcpy(fill, t->data, n_bytes);
        if (vkdlm_tensors_writer_write(writer, i, 0, fill, n_bytes, &err) ||
            (doubled && vkdlm_tensors_writer_write(writer, i, n_bytes, fill, n_bytes, &err)))
            return tool_fail("cannot write", err.message);
        free(fill);
    }
    if (vkdlm_tensors_writer_finish(writer, &err))
        return tool_fail("cannot finish", err.message);
    vkdlm_tensors_close(in);
    return 0;
}

/* huge OUT CONFIG: weights for a configuration of one block that no device can hold, in a sparse file. */
static int write_huge(char **argv)
{
    enum { V = 16000000, D = 1024, C = 16 };
    static const struct {
        const char *name;
        uint64_t shape[2]; /* second 0: a vector */
    } tensors[] = {
        {"vocab_embed.embedding", {V, D}},
        {"sigma_map.mlp.0.weight", {C, 256}},
        {"sigma_map.mlp.0.bias", {C, 0}},
        {"sigma_map.mlp.2.weight", {C, C}},
        {"sigma_map.mlp.2.bias", {C, 0}},
        {"blocks.0.norm1.weight", {D, 0}},
        {"blocks.0.norm2.weight", {D, 0}},
        {"blocks.0.attn_qkv.weight", {3 * D, D}},
        {"blocks.0.attn_out.weight", {D, D}},
        {"blocks.0.mlp.0.weight", {4 * D, D}},
        {"blocks.0.mlp.0.bias", {4 * D, 0}},
        {"blocks.0.mlp.2.weight", {D, 4 * D}},
        {"blocks.0.mlp.2.bias", {D, 0}},
        {"blocks.0.adaLN_modulation.weight", {6 * D, C}},
        {"blocks.0.adaLN_modulation.bias", {6 * D, 0}},
        {"output_layer.norm_final.weight", {D, 0}},
        {"output_layer.adaLN_modulation.weight", {2 * D, C}},
        {"output_layer.adaLN_modulation.bias", {2 * D, 0}},
        {"output_layer.linear.weight", {V, D}},
        {"output_layer.linear.bias", {V, 0}},
    };
    char header[8192] = "{";
    uint64_t offset = 0;
    size_t used = 1;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        uint64_t rows = tensors[i].shape[0], columns = tensors[i].shape[1];
        char shape[64];
        snprintf(shape, sizeof shape, columns ? "%" PRIu64 ",%" PRIu64 : "%" PRIu64, rows, columns);
        uint64_t end = offset + 4 * rows * (columns ? columns : 1);
        used += (size_t)snprintf(
            header + used, sizeof header - used,
            "%s\"backbone.%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}",
            i ? "," : "", tensors[i].name, shape, offset, end);
        offset = end;
    }
    header[used++] = '}';
    while (used % 8)
        header[used++] = ' ';
    uint64_t length = used;
    FILE *out = fopen(argv[0], "wb"), *config = fopen(argv[1], "w");
    bool written = out && config && fwrite(&length, 8, 1, out) == 1 && fwrite(header, used, 1, out) == 1 &&
                   !fflush(out) && !ftruncate(fileno(out), (off_t)(8 + length + offset)) &&
                   fprintf(config,
                           "{\"model_type\":\"mdlm\",\"vocab_size\":%d,\"model_length\":8,\"hidden_dim\":%d,"
                           "\"cond_dim\":%d,\"n_blocks\":1,\"n_heads\":16,\"time_conditioning\":false}",
                           V, D, C) > 0;
    if (out)
        fclose(out);
    if (config)
        fclose(config);
    return written ? 0 : tool_fail("cannot write", argv[0]);
}

static double element(const vkdlm_tensor *t, uint64_t i)
{
    double wide = NAN;
    float narrow = NAN;
    if (t->dtype == VKDLM_DTYPE_F64) {
        memcpy(&wide, (const char *)t->data + 8 * i, 8);
        return wide;
    }
    if (t->dtype == VKDLM_DTYPE_F32)
        memcpy(&narrow, (const char *)t->data + 4 * i, 4);
    return (double)narrow;
}

/* A tensor as [sequences, rows, width]; "NAME@I" is part I of the first of four dimensions, and of two the
 * rows are one. False when there is no such tensor. */
static bool find_rows(const vkdlm_tensors *tensors, const char *name, vkdlm_tensor *out)
{
    char plain[256];
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(name, "@"), name);
    const vkdlm_tensor *found = vkdlm_tensors_find(tensors, plain);
    if (!found)
        return false;
    *out = *found;
    if (out->n_dims == 4 && strchr(name, '@') && out->shape[0]) {
        uint64_t part = strtoull(strchr(name, '@') + 1, NULL, 10);
        out->n_bytes /= out->shape[0];
        out->n_elements /= out->shape[0];
        out->data = (const char *)out->data + part * out->n_bytes;
        memmove(out->shape, out->shape + 1, 3 * sizeof *out->shape);
        out->n_dims = part < found->shape[0] ? 3 : 0;
    } else if (out->n_dims == 2) {
        out->shape[2] = out->shape[1];
        out->shape[1] = 1;
        out->n_dims = 3;
    }
    return out->n_dims == 3;
}

/* compare FILE TENSOR EXPECTED_FILE EXPECTED_TENSOR TOLERANCE [ROWS]: both F32 or F64; the largest difference
 * is at most TOLERANCE times the largest expected magnitude. ROWS ("0,5"): the positions, second dimension,
 * of the expected tensor that the first one has. */
static int compare(int argc, char **argv)
{
    vkdlm_error err;
    vkdlm_tensors *a = NULL, *b = NULL;
    if (vkdlm_tensors_open(argv[0], &a, &err) || vkdlm_tensors_open(argv[2], &b, &err))
        return tool_fail("cannot open", err.message);
    vkdlm_tensor found_rows = {0}, expected_rows = {0};
    const vkdlm_tensor *found = &found_rows, *expected = &expected_rows;
    if (!find_rows(a, argv[1], &found_rows) || !find_rows(b, argv[3], &expected_rows))
        return tool_fail("no tensor of rows", found->n_dims ? argv[3] : argv[1]);
    uint64_t rows[1024], n_rows = 0;
    if (argc > 5)
        for (char *s = argv[5]; s && n_rows < 1024; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
            rows[n_rows++] = strtoull(s, NULL, 10);
    else
        for (; n_rows < expected->shape[1] && n_rows < 1024; n_rows++)
            rows[n_rows] = n_rows;
    if (found->shape[0] != expected->shape[0] || found->shape[1] != n_rows ||
        found->shape[2] != expected->shape[2])
        return tool_fail("the shapes differ", argv[1]);
    double largest = 0, difference = 0;
    for (uint64_t i = 0; i < expected->n_elements; i++)
        largest = fmax(largest, fabs(element(expected, i)));
    for (uint64_t s = 0; s < found->shape[0]; s++) {
        for (uint64_t r = 0; r < n_rows; r++) {
            for (uint64_t i = 0; i < found->shape[2]; i++) {
                double x = element(found, (s * n_rows + r) * found->shape[2] + i);
                double y = element(expected, (s * expected->shape[1] + rows[r]) * found->shape[2] + i);
                if (!(fabs(x - y) <= difference)) /* also when NaN */
                    difference = fabs(x - y);
                if (isnan(difference))
                    return tool_fail("NaN", argv[1]);
            }
        }
    }
    printf("%s: largest difference %.3g of %.3g\n", argv[1], difference, largest);
    double tolerance = strtod(argv[4], NULL);
    vkdlm_tensors_close(a);
    vkdlm_tensors_close(b);
    return largest > 0 && difference <= tolerance * largest ? 0 : tool_fail("too far apart", argv[1]);
}

enum { SCREEN_ROWS = 1000, SCREEN_COLUMNS = 512 };

/* screen COLUMNS: what a terminal of that width shows after the bytes of standard input, trailing spaces left
 * out. Fails at a sequence that it does not know, so also at one that would leave the terminal in another
 * state. */
static int show_screen(const char *columns_text)
{
    static uint32_t cells[SCREEN_ROWS][SCREEN_COLUMNS];
    int columns = atoi(columns_text), row = 0, column = 0, last = 0, c;
    bool styled = false;
    if (columns < 2 || columns > SCREEN_COLUMNS)
        return tool_fail("columns", columns_text);
    while ((c = getchar()) != EOF) {
        if (c == '\r') {
            column = 0;
        } else if (c == '\n') {
            row++;
        } else if (c == 27) {
            char parameters[32] = "";
            size_t n = 0;
            if (getchar() != '[')
                return tool_fail("escape", "not a control sequence");
            while ((c = getchar()) != EOF && c < 0x40 && n + 1 < sizeof parameters)
                parameters[n++] = (char)c;
            if (c == 'A') {
                row -= atoi(parameters);
                if (row < 0)
                    return tool_fail("escape", "above the screen");
            } else if (c == 'K' || c == 'J') {
                for (int i = column; i < columns; i++)
                    cells[row][i] = 0;
                for (int r = row + 1; c == 'J' && r < SCREEN_ROWS; r++)
                    memset(cells[r], 0, sizeof cells[r]);
            } else if (c == 'm') {
                styled = strcmp(parameters, "0") != 0;
            } else {
                return tool_fail("escape", "unknown");
            }
        } else {
            uint32_t cp = (uint32_t)c;
            int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
            cp = more ? cp & (0x3fu >> more) : cp;
            while (more-- > 0)
                cp = cp << 6 | ((uint32_t)getchar() & 0x3f);
            if (column == columns) {
                column = 0;
                row++;
            }
            if (row >= SCREEN_ROWS)
                return tool_fail("screen", "too many rows");
            cells[row][column++] = cp;
        }
        if (row >= SCREEN_ROWS)
            return tool_fail("screen", "too many rows");
        last = row > last ? row : last;
    }
    if (styled || column)
        return tool_fail("screen",
                         styled ? "a style is left on" : "the cursor is not at the start of a line");
    static const uint32_t empty[SCREEN_COLUMNS];
    while (last > 0 && !memcmp(cells[last - 1], empty, sizeof empty))
        last--;
    for (int r = 0; r < last; r++) {
        int end = columns;
        while (end > 0 && (!cells[r][end - 1] || cells[r][end - 1] == ' '))
            end--;
        for (int i = 0; i < end; i++)
            putchar(cells[r][i] == 0 ? ' ' : cells[r][i] < 0x80 ? (int)cells[r][i] : '?');
        putchar('\n');
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "json"))
        return json_member(argv[2]);
    if (argc == 3 && !strcmp(argv[1], "screen"))
        return show_screen(argv[2]);
    if (argc >= 7 && !strcmp(argv[1], "tokens"))
        return write_tokens(argc - 2, argv + 2);
    if (argc == 6 && !strcmp(argv[1], "model"))
        return copy_model(argv + 2);
    if (argc == 4 && !strcmp(argv[1], "huge"))
        return write_huge(argv + 2);
    if (argc >= 7 && !strcmp(argv[1], "compare"))
        return compare(argc - 2, argv + 2);
    if (argc >= 4 && !strcmp(argv[1], "make"))
        return tool_make(argc - 2, argv + 2);
    if (argc >= 6 && !strcmp(argv[1], "take"))
        return tool_take(argc - 2, argv + 2);
    if (argc == 5 && !strcmp(argv[1], "ints"))
        return tool_ints(argc - 2, argv + 2);
    if (argc == 5 && !strcmp(argv[1], "points"))
        return tool_points(argc - 2, argv + 2);
    return tool_fail("usage",
                     "json PATH | screen COLUMNS | tokens ... | model ... | huge OUT CONFIG | compare ... | "
                     "make ... | take ... | ints FILE TENSOR ROW | points EXPECTED IN OUT");
}
