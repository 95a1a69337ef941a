// tiny-resnet8: checks the board against the engine, then names what an image shows. A camera's picture goes to
// model_run_pixels(), in model_pixels.h.
#include <model.h>
#include <model_pixels.h>
#include <model_selftest.h>

static const char *const labels[MODEL_OUTPUT_SIZE] = MODEL_LABELS;
static int image = 0;

void setup() {
  Serial.begin(115200);
  while (!Serial) {
  }
  const int different = edgecifar_selftest();
  if (different != 0) {
    Serial.print("Self-test failed on images: ");
    Serial.println(different);
    for (;;) {
    }
  }
}

void loop() {
  int8_t output[MODEL_OUTPUT_SIZE];
  const unsigned long began = micros();
  model_run(edgecifar_selftest_input(image), output);
  const unsigned long took = micros() - began;
  Serial.print(labels[model_best(output)]);
  Serial.print(", microseconds: ");
  Serial.println(took);
  image = (image + 1) % MODEL_SELFTEST_IMAGES;
  delay(1000);
}
