#!/bin/bash
# Diffusion paths that do not fit, or are none: found before a device is touched. Needs no device.
. "$(dirname "$0")/lib.sh"

llama=$MODELS/kjv-llama
original=$MODELS/kjv-l2d
l2d=$GOLDEN/l2d

# path_refused CODE PATTERN MODEL PATH: every command that would run it says the same and leaves nothing.
path_refused()
{
    local code=$1 pattern=$2 model=$3 path=$4
    refuses "$code" "$pattern" generate -m "$model" --l2d "$path" --ids 1
    refuses "$code" "$pattern" score -m "$model" --l2d "$path" "$0"
    refuses "$code" "$pattern" forward -m "$model" --l2d "$path" "$l2d/llama-lora/expected.safetensors" -o "$work/result"
    [[ ! -e $work/result ]] || fail "$pattern: an output file is left"
}

# ---- info -----------------------------------------------------------------------------------------------------
ok info -m "$llama" --json
expect "$(value l2d "$out")" null "a base without path"
expect "$(value architecture "$out")" llama "info"
ok info -m kjv-llama --l2d kjv-l2d --json
expect "$(value runnable "$out")" true "bundled names"
expect "$(value l2d.configuration.flow_representation_dim "$out")" 64 "info: the path"
[[ $(value l2d.parameters "$out") -gt 1000000 ]] || fail "info: parameters of the path"
value l2d.tensors "$out" | grep -q '"name":"model.layers.3.mlp.flow_gate_proj.A","dtype":"F16","shape":\[256,16\]' ||
    fail "info: tensors of the path"
ok info -m "$llama" --l2d "$original/l2d.safetensors"
matches "$out" '^refinement +n = 64, no classes, LoRA of rank 16 \(alpha 32\); midpoint on 8 points$' "info"
matches "$out" '^ode_kwargs.method +midpoint$' "info"
matches "$out" '^model.layers.0.mlp.flow_down_proj.A +F16 ' "info"
# A model directory that holds a path needs no option.
for case in llama-full llama-lora qwen2-full qwen2-lora-cfg; do
    ok info -m "$l2d/$case" --json
    expect "$(value runnable "$out")" true "$case"
    [[ $(value l2d.file_bytes "$out") -gt 1000 ]] || fail "$case: no path"
done
ok info -m "$l2d/qwen2-lora-cfg"
matches "$out" '^refinement .* 3 classes, LoRA of rank 6 \(alpha 9\);' "info: classes"
ok info -m "$l2d/llama-full"
matches "$out" '^refinement .* full weights;' "info: full weights"

# ---- paths of other bases -----------------------------------------------------------------------------------------
path_refused 1 "l2d.safetensors': tensor 'model.flow_token_embedder.*expected shape \[48, 256\], found \[48, 96\]" \
    "$llama" "$l2d/llama-lora"
path_refused 1 "expected a diffusion path of the base model's 2 layers, found 3" "$l2d/llama-full" "$l2d/llama-lora"
path_refused 1 "l2d.json': base_model_type: expected the base model's, \"llama\", found \"qwen2\"" "$llama" "$l2d/qwen2-full"
path_refused 1 "'$work/none': expected a directory with l2d.json" "$llama" "$work/none"
path_refused 1 "'kjv-l3d': expected a directory with l2d.json" "$llama" kjv-l3d
path_refused 1 "kjv-mdlm': expected l2d.json" "$llama" kjv-mdlm
mkdir "$work/weights" "$work/config"
cp "$original/l2d.safetensors" "$work/weights"
path_refused 1 "$work/weights': expected l2d.json" "$llama" "$work/weights"
cp "$original/l2d.json" "$work/config"
path_refused 1 "$work/config" "$llama" "$work/config"
path_refused 2 "'--l2d' belongs to autoregressive models" kjv-mdlm "$work/none"

# ---- weights that do not fit ----------------------------------------------------------------------------------------
changed=$work/changed
mkdir "$changed"
cp "$original/l2d.json" "$changed"
for tensor in model.flow_token_embedder.embedder.layers_module.0.weight model.layers.3.mlp.flow_gate_proj.A \
    model.layers.5.modulation_head.mlp.2.bias model.modulation_head.mlp.0.weight; do
    for change in missing shape dtype; do
        "$TOOL" model "$original/l2d.safetensors" "$changed/l2d.safetensors" "$change" "$tensor"
        refuses 1 "$changed.*$tensor" generate -m "$llama" --l2d "$changed"
    done
done
ok info -m "$llama" --l2d "$changed" --json
expect "$(value runnable "$out")" false "a path that does not fit"
"$TOOL" model "$original/l2d.safetensors" "$changed/l2d.safetensors" extra model.layers.9.surprise
refuses 1 "model.layers.9.surprise" generate -m "$llama" --l2d "$changed"
head -c 1000 "$original/l2d.safetensors" > "$changed/l2d.safetensors"
refuses 1 "$changed/l2d.safetensors" generate -m "$llama" --l2d "$changed"
: > "$changed/l2d.safetensors"
refuses 1 "$changed/l2d.safetensors" generate -m "$llama" --l2d "$changed"

# ---- configurations that are none, or that describe something else -----------------------------------------------------
cp "$original/l2d.safetensors" "$changed"
n=0
while IFS='|' read -r from to pattern; do
    sed "s/\"$from\\b/\"$to/" "$original/l2d.json" > "$changed/l2d.json"
    if cmp -s "$original/l2d.json" "$changed/l2d.json"; then
        fail "$from is not in l2d.json"
    fi
    refuses 1 "$changed.*$pattern" generate -m "$llama" --l2d "$changed"
    n=$((n + 1))
done <<'END'
flow_lora_rank": 16|flow_lora_rank": 8|flow_q_proj.A'?: expected shape .256, 8., found .256, 16.
flow_lora_rank": 16|flow_lora_rank": -1|flow_lora_rank: .* found -1
flow_lora_rank": 16|flow_lora_rank": 1.5|flow_lora_rank: 
separate_flow_params_with_lora": true|separate_flow_params_with_lora": false|flow_q_proj
method": "midpoint|method": "midpiont|method: expected one of euler, .*found "midpiont"
rtol": 1e-05|rtol": 3|ode_kwargs.rtol: .* found 3
atol": 1e-05|atol": 0|ode_kwargs.atol: .* found 0
modulate_hidden_states": false|modulate_hidden_states": true|modulate_hidden_states: expected false
full_dit_modulation": true|full_dit_modulation": false|full_dit_modulation: expected true
format": "l2d|format": "x|format: expected "l2d"
version": 1|version": 2|version: expected 1
base_model_type": "llama|base_model_type": "gpt9|base_model_type: .* found "gpt9"
flow_representation_dim": 64|flow_representation_dim": 63|expected shape .63, 256., found .64, 256.
flow_representation_dim": 64|flow_representation_dim": 0|flow_representation_dim: .* found 0
flow_representation_rescaling": "mult|flow_representation_rescaling": "add|flow_representation_rescaling: .* found "add"
flow_representation_space": "mapping|flow_representation_space": "x|flow_representation_space: 
noise_rescaling": 64.0|noise_rescaling": "x"|noise_rescaling: expected a number
noise_rescaling": 64.0|noise_rescaling": 0|noise_rescaling: .* found 0
default_ode_steps": 8|default_ode_steps": 1|default_ode_steps: .* found 1
nstep_final_timestep": 1.0|nstep_final_timestep": 1.5|nstep_final_timestep: .* found 1.5
nstep_final_timestep": 1.0|nstep_final_timestep": 0|nstep_final_timestep: .* found 0
nstep_x1_estimation": "sample|nstep_x1_estimation": "guess|nstep_x1_estimation: .* found "guess"
velocity_schedule": "constant|velocity_schedule": "x|velocity_schedule: .* found "x"
guidance_modulation_num_classes": 0|guidance_modulation_num_classes": 4|data_label_embedder
guidance_modulation_num_classes": 0|guidance_modulation_num_classes": -2|guidance_modulation_num_classes: 
END
for text in '' '{' '[]' '{}' 'null' '{"format":"l2d"}'; do
    printf '%s' "$text" > "$changed/l2d.json"
    refuses 1 "$changed/l2d.json" generate -m "$llama" --l2d "$changed"
    n=$((n + 1))
done
expect "$n" 31 "configurations tried"
