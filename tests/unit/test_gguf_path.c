/* Diffusion paths in GGUF files: keys, names of tensors, and what is refused. */
#include "test_gguf_util.h"

#include <math.h>

#include "format/gguf_writer.h"
#include "model/l2d_checkpoint.h"
#include "model/l2d_config.h"
#include "model/l2d_tensors.h"

#define PATH_FILE "path.gguf"

static vkdlm_error err;

/* ---- keys ------------------------------------------------------------------------------------------- */

static void begin_path(gguf_bytes *b)
{
    gguf_begin(b);
    gguf_put_string(b, "general.architecture", "l2d");
    gguf_put_string(b, "l2d.base_model_type", "qwen2");
}

static void write_path(gguf_bytes *b, const char *path)
{
    gguf_put_tensor(b, "time_in.weight", 2, 4, 0, 0);
    gguf_put_data(b, 32, 32);
    temp_write(path, b->data, b->size);
}

static void keys_are_those_of_the_json_file(void **state)
{
    const char *path = temp_path(*state, PATH_FILE);
    gguf_bytes b;
    checkpoint *ck;
    l2d_config c;
    begin_path(&b);
    gguf_put_key(&b, "l2d.separate_flow_params_with_lora", GGUF_BOOL);
    gguf_put(&b, 1, 1);
    gguf_put_u32(&b, "l2d.flow_lora_rank", 6);
    gguf_put_key(&b, "l2d.flow_lora_alpha", GGUF_I32);
    gguf_put(&b, (uint64_t)-1, 4);
    gguf_put_f32(&b, "l2d.noise_rescaling", 48.5f);
    gguf_put_key(&b, "l2d.ode_kwargs.rtol", GGUF_F64);
    gguf_put(&b, 0x3f1a36e2eb1c432d, 8); /* 1e-4 */
    gguf_put_string(&b, "l2d.ode_kwargs.method", "heun3");
    gguf_put_string(&b, "l2d.nstep_temperature_schedule", "polynomial_1_0.5");
    gguf_put_key(&b, "l2d.guidance_modulation_num_classes", GGUF_U8);
    gguf_put(&b, 3, 1);
    gguf_put_string(&b, "other.key", "is nothing to it");
    write_path(&b, path);
    assert_int_equal(l2d_checkpoint_open(path, "unused", &ck, &err), VKDLM_OK);
    if (l2d_config_read(ck, &c, &err))
        fail_msg("%s", err.message);
    assert_string_equal(c.base, "qwen2");
    assert_int_equal(c.lora_rank, 6);
    assert_true(c.lora_scale == 2);
    assert_true(c.noise_scale == 48.5);
    assert_true(c.rtol == 1e-4);
    assert_true(c.atol == 1e-5);
    assert_int_equal(c.solver, VKDLM_SOLVER_HEUN3);
    assert_string_equal(c.temperature, "polynomial_1_0.5");
    assert_int_equal(c.n_classes, 3);
    assert_int_equal(c.flow_dim, 0);
    assert_null(json_object_get(ck->config, "key"));
    checkpoint_close(ck);
}

typedef struct bad_key {
    const char *key;
    gguf_type type;
    uint64_t value;
    const char *text;
    const char *message;
} bad_key;

static void put_bad(gguf_bytes *b, const bad_key *bad)
{
    if (bad->type == GGUF_STRING) {
        gguf_put_string(b, bad->key, bad->text);
    } else if (bad->type == GGUF_ARRAY) {
        gguf_put_array(b, bad->key, GGUF_U32, 1);
        gguf_put(b, bad->value, 4);
    } else {
        gguf_put_key(b, bad->key, bad->type);
        gguf_put(b, bad->value, bad->type == GGUF_U64 || bad->type == GGUF_F64 ? 8 : 4);
    }
}

static void bad_keys_are_refused(void **state)
{
    static const bad_key cases[] = {
        {"l2d.flow_lora_rank", GGUF_ARRAY, 4, NULL, "l2d.flow_lora_rank: expected"},
        {"l2d.noise_rescaling", GGUF_F32, 0x7fc00000, NULL, "l2d.noise_rescaling: expected"},
        {"l2d.noise_rescaling", GGUF_F64, 0x7ff0000000000000, NULL, "l2d.noise_rescaling: expected"},
        {"l2d.default_ode_steps", GGUF_U64, UINT64_MAX, NULL, "l2d.default_ode_steps: expected"},
        {"l2d.base_model_type.of", GGUF_U32, 1, NULL, "l2d.base_model_type.of: expected"},
        {"l2d.ode_kwargs", GGUF_U32, 1, NULL, "ode_kwargs: expected an object"},
        {"l2d.velocity_schedule", GGUF_STRING, 0, "\xff", "l2d.velocity_schedule: expected"},
        {"l2d.velocity_schedule", GGUF_STRING, 0, "edn", "velocity_schedule: expected one of constant, edm"},
        {"l2d.version", GGUF_U32, 2, NULL, "version: expected 1, found 2"},
        {"l2d.default_ode_steps", GGUF_F32, 0x40c00000, NULL, "default_ode_steps: expected"},
    };
    const char *path = temp_path(*state, PATH_FILE);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gguf_bytes b;
        checkpoint *ck;
        l2d_config c;
        begin_path(&b);
        put_bad(&b, &cases[i]);
        write_path(&b, path);
        vkdlm_status status = l2d_checkpoint_open(path, NULL, &ck, &err);
        assert_true(status == VKDLM_OK || ck == NULL);
        if (!status)
            status = l2d_config_read(ck, &c, &err);
        checkpoint_close(ck);
        if (status == VKDLM_OK || !strstr(err.message, cases[i].message) || !strstr(err.message, path))
            fail_msg("%s: expected a refusal with \"%s\", found %s", cases[i].key, cases[i].message,
                     status ? err.message : "success");
    }
}

static void another_architecture_is_refused(void **state)
{
    const char *path = temp_path(*state, PATH_FILE);
    gguf_bytes b;
    checkpoint *ck;
    gguf_begin(&b);
    gguf_put_string(&b, "general.architecture", "llama");
    write_path(&b, path);
    assert_int_equal(l2d_checkpoint_open(path, NULL, &ck, &err), VKDLM_UNSUPPORTED);
    assert_null(ck);
    assert_non_null(strstr(err.message, "expected a diffusion path (l2d), found 'llama'"));
}

/* ---- names ------------------------------------------------------------------------------------------ */

static void tensors_have_names_in_both(void **state)
{
    (void)state;
    static const struct {
        const char *name, *gguf; /* NULL: none */
    } cases[] = {
        {"model.timestep_embedder.mlp.0.weight", "time_in.weight"},
        {"model.timestep_embedder.mlp.2.bias", "time_out.bias"},
        {"model.data_label_embedder.weight", "class_embd.weight"},
        {"model.flow_token_embedder.embedder.layers_module.0.weight", "flow_embd.weight"},
        {"model.flow_to_lm_encoder.embedder.layers_module.2.bias", "flow_out.bias"},
        {"model.modulation_head.mlp.0.weight", "flow_gate_in.weight"},
        {"model.layers.0.modulation_head.mlp.0.weight", "blk.0.mod_in.weight"},
        {"model.layers.12345.modulation_head.mlp.2.bias", "blk.12345.mod_out.bias"},
        {"model.layers.7.self_attn.flow_q_proj.bias", "blk.7.attn_q.bias"},
        {"model.layers.7.self_attn.flow_o_proj.A", "blk.7.attn_output.lora_a"},
        {"model.layers.10.mlp.flow_down_proj.B", "blk.10.ffn_down.lora_b"},
        {"model.layers.10.mlp.flow_gate_proj.weight", "blk.10.ffn_gate.weight"},
        {"model.layers.3.mlp.flow_up_proj.weight", "blk.3.ffn_up.weight"},
        {"timestep_embedder.mlp.0.weight", NULL},
        {"model.timestep_embedder.mlp.1.weight", NULL},
        {"model.layers..mlp.flow_up_proj.weight", NULL},
        {"model.layers.123456.mlp.flow_up_proj.weight", NULL},
        {"model.layers.1x.mlp.flow_up_proj.weight", NULL},
        {"model.layers.1.mlp.flow_up_proj.C", NULL},
        {"model.layers.1.mlp.flow_up_proj", NULL},
        {"model.layers.1.mlp.up_proj.weight", NULL},
        {"model.layers.1.data_label_embedder.weight", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char found[64] = "";
        if (l2d_tensor_gguf_name(cases[i].name, found) != (cases[i].gguf != NULL) ||
            (cases[i].gguf && strcmp(found, cases[i].gguf) != 0))
            fail_msg("%s: expected %s, found %s", cases[i].name, cases[i].gguf ? cases[i].gguf : "none",
                     found);
    }
    assert_true(l2d_tensor_is_repeated("model.layers.1.mlp.flow_up_proj.wrapped_layer.weight"));
    assert_false(l2d_tensor_is_repeated("model.layers.1.mlp.flow_up_proj.weight"));
    assert_false(l2d_tensor_is_repeated(".wrapped_layer.weight"));
}

/* ---- types ------------------------------------------------------------------------------------------ */

/* A path of one block beside a base of D = F = 32, with three classes and LoRA of rank 32; one tensor is in
 * blocks. */
static void write_tensors(const char *path, const char *in_blocks)
{
    enum { D = 32, KINDS = 2 };
    static const struct {
        const char *name;
        uint64_t rows, columns; /* columns 0: a vector */
    } tensors[] = {
        {"time_in.weight", D, D},
        {"time_in.bias", D, 0},
        {"time_out.weight", D, D},
        {"time_out.bias", D, 0},
        {"class_embd.weight", 4, D},
        {"flow_embd.weight", D, D},
        {"flow_embd.bias", D, 0},
        {"flow_in.weight", D, D},
        {"flow_in.bias", D, 0},
        {"flow_out.weight", D, D},
        {"flow_out.bias", D, 0},
        {"flow_gate_in.weight", D, D},
        {"flow_gate_in.bias", D, 0},
        {"flow_gate_out.weight", D, D},
        {"flow_gate_out.bias", D, 0},
        {"blk.0.mod_in.weight", D, D},
        {"blk.0.mod_in.bias", D, 0},
        {"blk.0.mod_out.weight", 6 * D, D},
        {"blk.0.mod_out.bias", 6 * D, 0},
        {"blk.0.attn_q.lora_a", D, D},
        {"blk.0.attn_q.lora_b", D, D},
        {"blk.0.attn_output.lora_a", D, D},
        {"blk.0.attn_output.lora_b", D, D},
        {"blk.0.ffn_gate.lora_a", D, D},
        {"blk.0.ffn_gate.lora_b", D, D},
        {"blk.0.ffn_up.lora_a", D, D},
        {"blk.0.ffn_up.lora_b", D, D},
        {"blk.0.ffn_down.lora_a", D, D},
        {"blk.0.ffn_down.lora_b", D, D},
    };
    static const char zeros[6 * D * D * 4];
    gguf_writer *w;
    assert_int_equal(gguf_writer_create(path, &w, &err), VKDLM_OK);
    gguf_writer_put_string(w, "general.architecture", "l2d");
    gguf_writer_put_string(w, "l2d.base_model_type", "llama");
    gguf_writer_put_bool(w, "l2d.separate_flow_params_with_lora", true);
    gguf_writer_put_u32(w, "l2d.flow_lora_rank", D);
    gguf_writer_put_u32(w, "l2d.guidance_modulation_num_classes", 3);
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
            bool blocks = in_blocks && strcmp(tensors[i].name, in_blocks) == 0;
            const uint64_t shape[] = {tensors[i].rows, tensors[i].columns};
            uint64_t n_row = tensors[i].columns ? tensors[i].columns : 1;
            uint64_t bytes = blocks ? tensors[i].rows * n_row / 32 * 34 : tensors[i].rows * n_row * 4;
            if (pass == 0)
                gguf_writer_declare(w, tensors[i].name, blocks ? VKDLM_DTYPE_Q8_0 : VKDLM_DTYPE_F32,
                                    tensors[i].columns ? 2 : 1, shape);
            else
                assert_int_equal(gguf_writer_write(w, zeros, bytes, &err), VKDLM_OK);
        }
        if (pass == 0)
            assert_int_equal(gguf_writer_begin(w, &err), VKDLM_OK);
    }
    assert_int_equal(gguf_writer_finish(w, &err), VKDLM_OK);
}

static void quantised_classes_are_refused(void **state)
{
    static const struct {
        const char *in_blocks;
        vkdlm_status status;
    } cases[] = {
        {NULL, VKDLM_OK},
        {"flow_embd.weight", VKDLM_OK},
        {"blk.0.mod_in.weight", VKDLM_OK},
        {"class_embd.weight", VKDLM_UNSUPPORTED},
    };
    const char *path = temp_path(*state, PATH_FILE);
    const llm_config base = {.architecture = "llama",
                             .vocab_size = 64,
                             .hidden_dim = 32,
                             .mlp_dim = 32,
                             .n_blocks = 1,
                             .n_heads = 1,
                             .n_kv_heads = 1,
                             .head_dim = 32};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        checkpoint *ck;
        l2d_config config;
        l2d_tensors tensors;
        write_tensors(path, cases[i].in_blocks);
        assert_int_equal(l2d_checkpoint_open(path, NULL, &ck, &err), VKDLM_OK);
        assert_int_equal(l2d_config_read(ck, &config, &err), VKDLM_OK);
        vkdlm_status status = l2d_tensors_bind(ck, &base, &config, &tensors, &err);
        if (status != cases[i].status)
            fail_msg("%s: %s", cases[i].in_blocks ? cases[i].in_blocks : "no blocks", err.message);
        if (status) {
            assert_non_null(strstr(err.message, "class_embd.weight': expected dtype F32, F16 or BF16"));
        } else {
            /* Sizes that no key gave. */
            assert_int_equal(config.flow_dim, 32);
            assert_int_equal(config.features, 32);
            assert_ptr_equal(tensors.blocks[0].down.b,
                             vkdlm_tensors_find(ck->tensors, "blk.0.ffn_down.lora_b"));
        }
        l2d_tensors_deinit(&tensors);
        checkpoint_close(ck);
    }
}

#define WITH_TEMP(f) cmocka_unit_test_setup_teardown(f, temp_setup, temp_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TEMP(keys_are_those_of_the_json_file), WITH_TEMP(bad_keys_are_refused),
        WITH_TEMP(another_architecture_is_refused), cmocka_unit_test(tensors_have_names_in_both),
        WITH_TEMP(quantised_classes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
