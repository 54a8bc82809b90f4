#!/bin/bash
# generate --chat on a device: the prompt as a message in the template beside the tokenizer.
. "$(dirname "$0")/lib.sh"

model=$work/model
mkdir "$model"
ln -s "$MODELS"/kjv-llama/* "$model"
chat=(generate -m "$model" --chat -n 2 --temperature 0)

# says MESSAGES: the given tokens of the last run are those of this text.
says()
{
    local prompt
    prompt=$(printf '%b' "$1" | "$VKDLM" tokenize -m "$model" --no-special -f -)
    head -n 1 "$out" > "$work/line"
    expect "$(value prompt_length "$work/line")" "$(wc -w <<< "$prompt")" "prompt_length"
    [[ $(value ids "$work/line") == "$prompt "* ]] || fail "the template is not what is continued: $1"
}

refuses 1 "holds neither chat_template.jinja nor tokenizer_config.json" "${chat[@]}" -p Hello
echo '{"bos_token":"<|endoftext|>"}' > "$model/tokenizer_config.json"
refuses 1 "tokenizer_config.json' has no chat_template" "${chat[@]}" -p Hello
echo '{"chat_template":"{{ m.content }}"}' > "$model/tokenizer_config.json"
refuses 1 "tokenizer_config.json': the chat template is neither of Llama 3" "${chat[@]}" -p Hello

cat > "$model/tokenizer_config.json" <<'END'
{"chat_template":[{"name":"default","template":"{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"}]}
END
ok "${chat[@]}" -p Hello --json
says '<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n'
ok "${chat[@]}" -p Hello --system 'Be brief.' --json
says '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n'
# People see the answer alone.
ok "${chat[@]}" -p Hello -q
if grep -q 'im_start' "$out"; then
    fail "the prompt is printed"
fi

# A template of its own comes first; what begins the text stands there once.
echo '{"bos_token":{"content":"<|endoftext|>"}}' > "$work/config.json"
mv "$work/config.json" "$model/tokenizer_config.json"
echo '{{ bos_token }}<|start_header_id|>{{ m.role }}<|end_header_id|>{{ m.content | trim }}<|eot_id|>' > "$model/chat_template.jinja"
printf '{"text":" Hello "}\n{"text":"Bye"}\n' > "$work/prompts.jsonl"
ok "${chat[@]}" --prompts "$work/prompts.jsonl" --json
says '<|endoftext|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n'
echo '{"ids":[1]}' > "$work/prompts.jsonl"
refuses 1 "has \"ids\", but '--chat' takes \"text\"" "${chat[@]}" --prompts "$work/prompts.jsonl"
