/* Runs a generated model over a file of images: images.bin in, outputs.bin and measured.bin out.
 *
 * measured.bin, 32-bit words: instructions of the calibration and its ticks, bytes of stack, ticks of each image.
 */
#include "model.h"

#include "counting.h"
#include "semihosting.h"
#include "startup.h"

#if defined(NEEDS_MVE) && !defined(__ARM_FEATURE_MVE)
#error "the compiler's flags leave the vector instructions of this core out"
#endif

enum { NO_FILES = 1, MODEL_FAILS = 2, NOT_WRITTEN = 3 };

static int8_t input[MODEL_INPUT_SIZE];
static int8_t output[MODEL_OUTPUT_SIZE];

int main(void)
{
    const int images = semihosting_open_to_read("images.bin");
    const int outputs = semihosting_open_to_write("outputs.bin");
    const int measured = semihosting_open_to_write("measured.bin");
    uint32_t head[3] = {COUNTING_CALIBRATION, 0, 0};

    if (images < 0 || outputs < 0 || measured < 0) {
        return NO_FILES;
    }
    head[1] = counting_calibrate();
    /* One run tells the depth of the stack: it does not depend on the image. */
    if (model_run(input, output) != MODEL_OK) {
        return MODEL_FAILS;
    }
    head[2] = stack_used();
    if (semihosting_write(measured, head, sizeof head) != 0) {
        return NOT_WRITTEN;
    }
    while (semihosting_read(images, input, sizeof input) == 0) {
        const uint32_t before = counting_ticks();
        const int status = model_run(input, output);
        const uint32_t ticks = counting_ticks() - before;

        if (status != MODEL_OK) {
            return MODEL_FAILS;
        }
        if (semihosting_write(outputs, output, sizeof output) != 0 ||
            semihosting_write(measured, &ticks, sizeof ticks) != 0) {
            return NOT_WRITTEN;
        }
    }
    semihosting_close(images);
    semihosting_close(outputs);
    semihosting_close(measured);
    return 0;
}
