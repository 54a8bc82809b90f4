/* vkdlm: diffusion language models on any Vulkan device. This header includes all others.
 *
 * The path of a program: vkdlm_device_open, vkdlm_model_open, vkdlm_session_create, vkdlm_generate.
 * Every object is released by its close or destroy function, in the reverse order. */
#ifndef VKDLM_VKDLM_H
#define VKDLM_VKDLM_H

#include <vkdlm/bench.h>
#include <vkdlm/chat.h>
#include <vkdlm/complete.h>
#include <vkdlm/device.h>
#include <vkdlm/model.h>
#include <vkdlm/quantize.h>
#include <vkdlm/session.h>
#include <vkdlm/status.h>
#include <vkdlm/tensors.h>
#include <vkdlm/tokenizer.h>
#include <vkdlm/trajectory.h>

#endif
