/* Pictures into the input of tiny-resnet8. */
#ifndef MODEL_PIXELS_H
#define MODEL_PIXELS_H

#include "model.h"

/* Byte b of a picture is the integer b - 128: give pictures to model_run_uint8 as they are. */
static inline int model_run_pixels(const uint8_t *pixels, int8_t *output)
{
    return model_run_uint8(pixels, output);
}

/* Returns the place of the largest value: the class. */
static inline int model_best(const int8_t *output)
{
    int best = 0;

    for (int k = 1; k < MODEL_OUTPUT_SIZE; ++k) {
        best = output[k] > output[best] ? k : best;
    }
    return best;
}

#endif
