/* Linear layers in scalar double precision. */
#ifndef REF_LINEAR_H
#define REF_LINEAR_H

#include <stdint.h>

/* y = W x + b; weight is stored transposed, [in, out]; bias may be NULL. */
typedef struct ref_linear {
    uint32_t in, out;
    double *weight, *bias;
} ref_linear;

/* x [in], y [out], which do not overlap; each sum begins with the bias and takes x in its order. */
void ref_linear_apply(const ref_linear *layer, const double *x, double *y);

#endif
