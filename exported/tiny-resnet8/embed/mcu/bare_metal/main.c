/* tiny-resnet8 without an operating system: the self-test, a prediction, and what it took. */
#include "model.h"
#include "model_pixels.h"
#include "model_selftest.h"

#include "counting.h"
#include "semihosting.h"
#include "startup.h"

#if defined(NEEDS_MVE) && !defined(__ARM_FEATURE_MVE)
#error "the compiler's flags leave the vector instructions of this core out"
#endif

static const char *const labels[MODEL_OUTPUT_SIZE] = MODEL_LABELS;

static void say(const char *before, uint32_t number, const char *after)
{
    semihosting_print(before);
    semihosting_print_number(number);
    semihosting_print(after);
}

int main(void)
{
    int8_t output[MODEL_OUTPUT_SIZE];
    const int different = edgecifar_selftest();

    say("self-test: ", (uint32_t)different, " of ");
    say("", MODEL_SELFTEST_IMAGES, " images differ\n");
    if (different != 0) {
        return 1;
    }
    for (int image = 0; image < MODEL_SELFTEST_IMAGES; ++image) {
        if (model_run(edgecifar_selftest_input(image), output) != MODEL_OK) {
            return 2;
        }
        say("image ", (uint32_t)image, ": ");
        semihosting_print(labels[model_best(output)]);
        semihosting_print("\n");
    }

    const uint32_t calibration = counting_calibrate();
    const uint32_t before = counting_ticks();
    const int status = model_run(edgecifar_selftest_input(0), output);
    const uint32_t ticks = counting_ticks() - before;

    say("", (uint32_t)((uint64_t)ticks * COUNTING_CALIBRATION / calibration), " instructions an inference\n");
    say("", MODEL_ARENA_BYTES, " bytes of arena\n");
    say("", stack_used(), " bytes of stack\n");
    return status;
}
