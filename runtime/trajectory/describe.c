#include "describe.h"

#include <jansson.h>

static char *dump(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(object);
    return text;
}

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static double either(double value, double otherwise)
{
    return value != 0 ? value : otherwise;
}

char *trajectory_describe_masked(const vkdlm_generate_options *o)
{
    bool hitting = o->sampler == VKDLM_SAMPLER_FIRST_HITTING, staged = o->stride != 0;
    json_t *object = json_pack("{s:s,s:o,s:s,s:f,s:f,s:f,s:f,s:b,s:o,s:o,s:f,s:o,s:f,s:o,s:o,s:b}", //
                               "sampler", vkdlm_sampler_name(o->sampler),                           //
                               "steps",
                               count(hitting    ? 0
                                     : o->steps ? o->steps
                                                : 64),                                          //
                               "schedule", vkdlm_schedule_name(o->noise.schedule),              //
                               "schedule_eps", either(o->noise.eps, 1e-3),                      //
                               "sigma_min", o->noise.sigma_min,                                 //
                               "sigma_max", o->noise.sigma_max,                                 //
                               "end_time", hitting || staged ? 0.0 : either(o->end_time, 1e-5), //
                               "final_denoise", (int)!o->no_final_denoise,                      //
                               "stride", count(o->stride),                                      //
                               "strides", count(o->strides),                                    //
                               "temperature", either(o->temperature, 1),                        //
                               "top_k", count(o->top_k),                                        //
                               "top_p", either(o->top_p, 1),                                    //
                               "first_sample", count(o->first_sample),                          //
                               "candidates", count(o->n_candidates),                            //
                               "evaluate_all", (int)o->evaluate_all);
    return dump(object);
}

char *trajectory_describe_flow(const vkdlm_complete_options *o, const vkdlm_flow_info *model)
{
    const vkdlm_flow_options *f = &o->flow;
    const char *temperature = f->temperature ? f->temperature : model->temperature ? model->temperature : "0";
    json_t *object =
        json_pack("{s:s,s:o,s:f,s:f,s:o,s:f,s:f,s:s,s:s,s:s,s:s,s:f,s:b,s:b,s:f,s:o,s:f,s:o,s:o}", //
                  "solver", vkdlm_solver_name(f->solver ? f->solver : model->solver),              //
                  "steps", count(f->steps ? f->steps : model->steps),                              //
                  "rtol", either(f->rtol, model->rtol),                                            //
                  "atol", either(f->atol, model->atol),                                            //
                  "max_evaluations", count(f->max_evaluations ? f->max_evaluations : 1000),        //
                  "first_step", f->first_step,                                                     //
                  "end_time", either(f->end_time, model->end_time),                                //
                  "velocity", vkdlm_velocity_name(f->velocity ? f->velocity : model->velocity),    //
                  "estimate", vkdlm_estimate_name(f->estimate ? f->estimate : model->estimate),    //
                  "xhat_temperature", temperature,                                                 //
                  "budget", vkdlm_budget_name(f->budget),                                          //
                  "budget_threshold", f->budget_threshold,                                         //
                  "noise_given", (int)(f->noise != NULL),                                          //
                  "greedy", (int)o->greedy,                                                        //
                  "temperature", o->greedy ? 0.0 : either(o->temperature, 1),                      //
                  "top_k", count(o->top_k),                                                        //
                  "top_p", either(o->top_p, 1),                                                    //
                  "first_sample", count(o->first_sample),                                          //
                  "candidates", count(o->n_candidates));
    bool failed = !object || (f->has_class && json_object_set_new(object, "class", count(f->class_id))) ||
                  (f->has_guidance && json_object_set_new(object, "guidance", json_real(f->guidance)));
    if (failed) {
        json_decref(object);
        object = NULL;
    }
    return dump(object);
}
