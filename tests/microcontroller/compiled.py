"""Generated C as a process: compiled with all warnings as errors, and with sanitizers where asked."""

import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WARNINGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-g", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
DRIVER = """
#include <stdio.h>
#include "model.h"
int main(void)
{
    static int8_t input[MODEL_INPUT_SIZE];
    static int8_t output[MODEL_OUTPUT_SIZE];
    while (fread(input, 1, sizeof input, stdin) == sizeof input) {
        if (model_run(input, output) != MODEL_OK) {
            return 1;
        }
        if (fwrite(output, 1, sizeof output, stdout) != sizeof output) {
            return 2;
        }
    }
    return 0;
}
"""


def compile_c(
    folder: Path, files: dict[str, str], compiler: str = "gcc", flags: tuple[str, ...] = SANITIZERS
) -> Path:
    """Returns a program that reads inputs and writes outputs; a warning fails the test."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {**files, "driver.c": DRIVER}.items():
        (folder / name).write_text(text)
    sources = [str(folder / name) for name in ("driver.c", *files) if name.endswith(".c")]
    program = folder / "program"
    command = [compiler, *WARNINGS, *flags, "-o", str(program), *sources]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return program


def run(program: Path, inputs: NDArray[np.int8], output_size: int) -> NDArray[np.int8]:
    """Returns the outputs for (N, ...) inputs: (N, output_size)."""
    done = subprocess.run(
        [str(program)], input=inputs.tobytes(), check=False, capture_output=True, timeout=600
    )
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.int8).reshape(len(inputs), output_size)
