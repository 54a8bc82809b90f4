#!/bin/bash
# The command `tokenize`. Needs no device.
. "$(dirname "$0")/lib.sh"

kjv=$MODELS/kjv-mdlm/tokenizer.json

# The same answer by every door.
ok tokenize "In the beginning"
expect "$(cat "$out")" "41 78 259 2073" "a text"
cp "$out" "$work/expected"
for words in "-m $MODELS/kjv-mdlm" "--tokenizer $kjv" "--tokenizer $MODELS/kjv-mdlm" "--no-special" "--plain" "-v" "-q"; do
    # shellcheck disable=SC2086
    ok tokenize $words "In the beginning"
    cmp -s "$out" "$work/expected" || fail "tokenize $words differs"
done
printf 'In the beginning' > "$work/text"
for words in "" "-" "-f -" "-f $work/text"; do
    # shellcheck disable=SC2086
    ok tokenize $words < "$work/text"
    cmp -s "$out" "$work/expected" || fail "tokenize $words of a file differs"
done

# The text is taken as it is.
printf 'In the beginning\n' > "$work/text"
ok tokenize -f "$work/text"
expect "$(cat "$out")" "41 78 259 2073 199" "a text with a line feed"
ok tokenize "" 
expect "$(cat "$out")" "" "an empty text"
ok tokenize --decode ""
expect "$(od -An -c "$out" | tr -d ' ')" '\n' "no ids"

# Special tokens: recognised, or plain text.
ok tokenize "<|endoftext|>x"
expect "$(cat "$out")" "0 88" "a special token"
ok tokenize --plain "<|endoftext|>x"
[[ $(cat "$out") != "0 88" ]] || fail "--plain recognises a special token"
ok tokenize --decode "0 88"
expect "$(cat "$out")" "<|endoftext|>x" "special tokens decoded"

# There and back, byte by byte.
text=$'Ῥαββί, 中文 \t\r\n  "and" \x01 \U1F468\u200d\U1F469'
ok tokenize "$text"
ok tokenize --decode "$(cat "$out")"
expect "$(cat "$out")" "$text" "text, ids, text"
ok tokenize --decode "41,78 259,,2073"
expect "$(cat "$out")" "In the beginning" "ids between commas"
ok tokenize --decode - < "$work/expected"
expect "$(cat "$out")" "In the beginning" "ids on standard input"
ok tokenize --decode "41 4096 78 2147483647"
expect "$(cat "$out")" "In" "ids that do not exist"

# --json and --jsonl.
ok tokenize --json "a é"
expect "$(value ids "$out")" "$("$VKDLM" tokenize "a é")" "--json: ids"
expect "$(value text "$out")" "a é" "--json: text"
ok tokenize --json --decode "41 78"
expect "$(cat "$out")" '{"ids":[41,78],"text":"In","pieces":["I","n"]}' "--decode --json"
printf '{"text":"a"}\n\n{"ids":[236,165]}\r\n{"text":"b\\u0000\\u00e9"}' > "$work/lines"
ok tokenize --jsonl -f "$work/lines"
expect "$(n_lines "$out")" 3 "--jsonl: lines"
expect "$(sed -n 2p "$out")" '{"ids":[236,165],"text":"��","pieces":["�","�"]}' "--jsonl: ids that are no text"
expect "$(sed -n 3p "$out" | sed 's/.*"text"//')" ':"b\u0000é","pieces":["b","\u0000","","é"]}' "--jsonl: a NUL"
ok tokenize --jsonl < /dev/null
expect "$(n_lines "$out")" 0 "--jsonl of nothing"

# What the post-processor adds.
template=$GOLDEN/tokenizer/template/tokenizer.json
if [[ -e $template ]]; then
    ok tokenize --tokenizer "$template" "a"
    with=$(wc -w < "$out")
    ok tokenize --tokenizer "$template" --no-special "a"
    [[ $(wc -w < "$out") -lt $with ]] || fail "--no-special adds what the template says"
fi

# Recorded cases: `text` must give `ids`.
if command -v xz > /dev/null; then
    xz -dc "$GOLDEN/tokenizer/kjv/cases.jsonl.xz" | grep -v newer_than | sed -n 1,300p > "$work/cases"
    ok tokenize --jsonl -f <(sed -E 's/.*"text":("([^"\\]|\\.)*").*/{"text":\1}/' "$work/cases") --tokenizer "$kjv"
    sed -E 's/.*"ids":\[([^]]*)\].*/\1/' "$work/cases" > "$work/expected"
    sed -E 's/.*"ids":\[([^]]*)\].*/\1/' "$out" | cmp -s - "$work/expected" || fail "the recorded cases differ"
fi

refuses 1 "cannot open '$work/none': No such file" tokenize --tokenizer "$work/none" a
refuses 1 "none" tokenize -m "$work/none" a
refuses 1 "'.*tiny' has no tokenizer; '--tokenizer PATH'" tokenize -m "$GOLDEN/mdlm/tiny" a
refuses 1 "cannot open '$work/none'" tokenize -f "$work/none"
refuses 1 "Is a directory" tokenize -f "$work"
refuses 1 "." tokenize --tokenizer "$GOLDEN/mdlm/tiny/config.json" a
refuses 1 "." tokenize --tokenizer /dev/null a
refuses 2 "'--decode': entry 1 is 'x'" tokenize --decode "1 x"
refuses 2 "'--decode': entry 0 is '-1'" tokenize --decode "-1"
printf '{"text":"a"}\n{"text":' > "$work/lines"
run 1 tokenize --jsonl -f "$work/lines"
one_line "line 2 of '$work/lines' is not JSON" "a broken line"
expect "$(n_lines "$out")" 1 "lines before a broken one"
