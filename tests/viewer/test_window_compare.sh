#!/bin/bash
# Two runs side by side: tokens that differ have a line below, and the panels follow the mouse.
source "$(dirname "$0")/lib.sh"
"$MAKE_RUNS" masked one.safetensors
"$MAKE_RUNS" other two.safetensors
start_display 1200 760
start_viewer one.safetensors two.safetensors
press End
expect step 16
tokens_right 96 0
tokens_right 96 1
until_true "$CHECK_PICTURE" differences "$screen" report.json || fail "the lines are not below what differs"
expect active 0
point_token 12 1
expect active 1
expect hovered 12
keep_screen
point_token 12 0
expect active 0
expect hovered 12
press r
expect active 1
press Left
rest_mouse
expect step 15
tokens_right 80 0
tokens_right 80 1
press q
ends_with 0
echo "two runs are compared"
