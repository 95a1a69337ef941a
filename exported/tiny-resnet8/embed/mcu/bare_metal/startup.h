/* What the start of a program knows. */
#ifndef STARTUP_H
#define STARTUP_H

#include <stdint.h>

/* Returns the most bytes of stack that were in use so far: how far down the paint is gone. */
uint32_t stack_used(void);

#endif
