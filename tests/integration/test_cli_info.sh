#!/bin/bash
# The command `info`, and every malformed weight file as a model. Needs no device.
. "$(dirname "$0")/lib.sh"

ok info
matches "$out" '^architecture +mdlm$' "info"
matches "$out" '^can be run +yes$' "info"
matches "$out" '^mdlm.vocab_size +4097$' "info"
matches "$out" '^token_embd\.weight +Q8_0 +[0-9]+ +4097 x 256$' "info"
ok info -m "$MODELS/kjv-mdlm" --json
expect "$(n_lines "$out")" 1 "info --json: lines"
expect "$(value architecture "$out")" mdlm "info --json"
expect "$(value runnable "$out")" true "info --json"
expect "$(value configuration.model_length "$out")" 256 "info --json"
expect "$(value configuration.time_conditioning "$out")" false "info --json"
expect "$(basename "$(value tokenizer "$out")")" tokenizer.json "info --json"
[[ $(value device_bytes "$out") -gt $(value parameters "$out") ]] || fail "info --json: device_bytes"
value tensors "$out" | grep -q '{"name":"backbone.vocab_embed.embedding","dtype":"F16","shape":\[4097,256\],"bytes":2097664}' ||
    fail "info --json: tensors"

for model in tiny tiny-tc tc notc; do
    ok info -m "$GOLDEN/mdlm/$model" --json
    expect "$(value runnable "$out")" true "$model"
    expect "$(value tokenizer "$out")" null "$model"
done
ok info -m "$GOLDEN/mdlm/tiny/model.safetensors" --json
expect "$(value runnable "$out")" true "a file beside its config"

# An architecture that cannot be run is described, and generate says why it cannot run it.
mkdir "$work/other"
cp "$GOLDEN/mdlm/tiny/model.safetensors" "$work/other"
echo '{"model_type":"transmogrifier","vocab_size":5}' > "$work/other/config.json"
ok info -m "$work/other" --json
expect "$(value architecture "$out")" transmogrifier "another architecture"
expect "$(value runnable "$out")" false "another architecture"
[[ $(value why_not "$out") != null ]] || fail "another architecture: no reason"
ok info -m "$work/other"
refuses 1 "transmogrifier" generate -m "$work/other"
refuses 1 "transmogrifier" score -m "$work/other" "$0"

# Paths that are no model.
refuses 1 "'?$work/none'?" info -m "$work/none"
mkdir "$work/empty"
refuses 1 "$work/empty" info -m "$work/empty"
refuses 1 "$work/empty" generate -m "$work/empty"
mkdir "$work/bare"
cp "$GOLDEN/mdlm/tiny/model.safetensors" "$work/bare"
refuses 1 "$work/bare.*config.json" generate -m "$work/bare"
refuses 1 "." info -m /dev/null
refuses 1 "." info -m "$GOLDEN/mdlm/README.md"
if [[ $(id -u) -ne 0 ]]; then
    cp -r "$GOLDEN/mdlm/tiny" "$work/locked"
    chmod 000 "$work/locked/model.safetensors"
    refuses 1 "Permission denied" info -m "$work/locked"
fi

# Configurations that are none, or of no model.
mkdir "$work/config"
cp "$GOLDEN/mdlm/tiny/model.safetensors" "$work/config"
n=0
while IFS= read -r config; do
    printf '%s' "$config" > "$work/config/config.json"
    refuses 1 "$work/config" generate -m "$work/config"
    n=$((n + 1))
done <<'END'
{
[]
{}
{"model_type":3}
{"model_type":"mdlm"}
{"model_type":"mdlm","vocab_size":0,"model_length":3,"hidden_dim":32,"cond_dim":16,"n_blocks":2,"n_heads":2,"time_conditioning":false}
{"model_type":"mdlm","vocab_size":-5,"model_length":3,"hidden_dim":32,"cond_dim":16,"n_blocks":2,"n_heads":2,"time_conditioning":false}
{"model_type":"mdlm","vocab_size":5,"model_length":0,"hidden_dim":32,"cond_dim":16,"n_blocks":2,"n_heads":2,"time_conditioning":false}
{"model_type":"mdlm","vocab_size":5,"model_length":3,"hidden_dim":33,"cond_dim":16,"n_blocks":2,"n_heads":2,"time_conditioning":false}
{"model_type":"mdlm","vocab_size":5,"model_length":3,"hidden_dim":32,"cond_dim":16,"n_blocks":2,"n_heads":3,"time_conditioning":false}
{"model_type":"mdlm","vocab_size":5,"model_length":3,"hidden_dim":32,"cond_dim":16,"n_blocks":4000000000,"n_heads":2,"time_conditioning":false}
{"model_type":"mdlm","vocab_size":5,"model_length":3,"hidden_dim":32,"cond_dim":16,"n_blocks":2,"n_heads":0,"time_conditioning":false}
{"model_type":"mdlm","vocab_size":6,"model_length":3,"hidden_dim":32,"cond_dim":16,"n_blocks":2,"n_heads":2,"time_conditioning":false}
{"model_type":"mdlm","vocab_size":5,"model_length":3,"hidden_dim":64,"cond_dim":16,"n_blocks":2,"n_heads":2,"time_conditioning":false}
{"model_type":"mdlm","vocab_size":"5","model_length":3,"hidden_dim":32,"cond_dim":16,"n_blocks":2,"n_heads":2,"time_conditioning":false}
END
expect "$n" 15 "configurations tried"

# Weights that do not fit.
mkdir "$work/changed"
cp "$GOLDEN/mdlm/tiny/config.json" "$work/changed"
original=$GOLDEN/mdlm/tiny/model.safetensors
tensor=backbone.blocks.1.attn_out.weight
for change in missing shape dtype; do
    "$TOOL" model "$original" "$work/changed/model.safetensors" "$change" "$tensor"
    refuses 1 "$tensor" generate -m "$work/changed"
    refuses 1 "$tensor" forward -m "$work/changed" "$GOLDEN/mdlm/tiny/expected.safetensors" -o "$work/result"
    [[ ! -e $work/result ]] || fail "$change: an output file is left"
    ok info -m "$work/changed" --json
    expect "$(value runnable "$out")" false "a tensor with another $change"
done
"$TOOL" model "$original" "$work/changed/model.safetensors" extra backbone.blocks.7.surprise
refuses 1 "backbone.blocks.7.surprise" generate -m "$work/changed"

# Every recorded malformed container, as the weights of a model.
n=0
while IFS= read -r row; do
    file=$("$TOOL" json file <<< "$row")
    expected=$("$TOOL" json expect <<< "$row")
    rm -rf "$work/broken"
    case $file in
    safetensors/*)
        mkdir "$work/broken"
        cp "$GOLDEN/malformed/$file" "$work/broken/model.safetensors"
        ;;
    index/*) cp -r "$GOLDEN/malformed/$file" "$work/broken" ;;
    *) continue ;;
    esac
    chmod -R u+w "$work/broken"
    cp "$GOLDEN/mdlm/tiny/config.json" "$work/broken/config.json"
    # None of them is a model, so generate refuses every one; info describes the well-formed.
    refuses 1 "$work/broken" generate -m "$work/broken"
    case $expected in
    accept) ok info -m "$work/broken" ;;
    reject) refuses 1 "$work/broken" info -m "$work/broken" ;;
    esac
    n=$((n + 1))
done < "$GOLDEN/malformed/manifest.jsonl"
[[ $n -ge 60 ]] || fail "only $n malformed containers were tried"
echo "$n containers"
