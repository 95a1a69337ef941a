/* Inputs on stdin, outputs on stdout, int8; status 1 where the self-test fails. */
#include "model.h"
#include "model_selftest.h"

#include <stdio.h>

int main(void)
{
    static int8_t input[MODEL_INPUT_SIZE];
    int8_t output[MODEL_OUTPUT_SIZE];
    const int different = edgecifar_selftest();

    if (different != 0) {
        fprintf(stderr, "self-test: %d of %d images differ\n", different, MODEL_SELFTEST_IMAGES);
        return 1;
    }
    while (fread(input, 1, sizeof input, stdin) == sizeof input) {
        if (model_run(input, output) != MODEL_OK || fwrite(output, 1, sizeof output, stdout) != sizeof output) {
            return 2;
        }
    }
    return 0;
}
