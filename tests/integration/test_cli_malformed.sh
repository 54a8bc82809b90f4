#!/bin/bash
# Every file of golden/malformed through `info`: refused with one line, or described, as its manifest says. Needs no
# device.
. "$(dirname "$0")/lib.sh"

manifest=$GOLDEN/malformed/manifest.jsonl
mapfile -t files < <(value file "$manifest")
mapfile -t verdicts < <(value expect "$manifest")
expect "${#files[@]}" 145 "cases of the manifest"

# Weights that are no GGUF file need a configuration beside them.
model=$work/model
for i in "${!files[@]}"; do
    file=$GOLDEN/malformed/${files[i]}
    if [[ ${files[i]} != gguf/* ]]; then
        rm -rf "$model"
        mkdir "$model"
        echo '{"model_type": "none"}' > "$model/config.json"
        if [[ -d $file ]]; then
            cp "$file"/* "$model"
            file=$model
        else
            cp "$file" "$model/model.safetensors"
            file=$model/model.safetensors
        fi
    fi
    code=0
    "$VKDLM" info -m "$file" > "$out" 2> "$err" || code=$?
    case ${verdicts[i]}/$code in
    reject/1 | either/1)
        one_line "^vkdlm: '?$model|^vkdlm: '?$file" "${files[i]}"
        [[ ! -s $out ]] || fail "${files[i]}: standard output is not empty"
        ;;
    accept/0 | either/0)
        [[ -s $out && ! -s $err ]] || fail "${files[i]}: not described in silence"
        ;;
    *) fail "${files[i]}: exit status $code where the manifest says '${verdicts[i]}'" ;;
    esac
done
