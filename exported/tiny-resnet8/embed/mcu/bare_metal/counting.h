/* Instructions, counted by SysTick under an emulator that takes the same time for each (qemu -icount shift=0).
 * On a real core the same code counts its clock. */
#ifndef COUNTING_H
#define COUNTING_H

#include <stdint.h>

/* Instructions of the loop that `counting_calibrate` times. */
#define COUNTING_CALIBRATION 2000000u

/* Starts the counter. Returns its ticks in COUNTING_CALIBRATION instructions. */
uint32_t counting_calibrate(void);

/* Returns ticks since the start; what lies between two calls is less than 2^32 ticks. */
uint32_t counting_ticks(void);

#endif
