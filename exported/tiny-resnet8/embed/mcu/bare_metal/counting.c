#include "counting.h"

#define CONTROL (*(volatile uint32_t *)0xE000E010u)
#define RELOAD (*(volatile uint32_t *)0xE000E014u)
#define CURRENT (*(volatile uint32_t *)0xE000E018u)
#define ENABLED_WITH_INTERRUPT_ON_CORE_CLOCK 7u
#define PERIOD (1u << 24)

static volatile uint32_t rounds;

void systick_handler(void);

/* The counter counts 24 bits down; a round begins when it reaches 0. */
void systick_handler(void)
{
    ++rounds;
}

uint32_t counting_ticks(void)
{
    uint32_t before;
    uint32_t current;

    do {
        before = rounds;
        current = CURRENT;
    } while (before != rounds);
    return before * PERIOD + ((PERIOD - current) & (PERIOD - 1u));
}

uint32_t counting_calibrate(void)
{
    uint32_t turns = COUNTING_CALIBRATION / 2u;
    uint32_t before;

    RELOAD = PERIOD - 1u;
    CURRENT = 0;
    CONTROL = ENABLED_WITH_INTERRUPT_ON_CORE_CLOCK;
    before = counting_ticks();
    __asm__ volatile("1:\n\tsubs %0, %0, #1\n\tbne 1b" : "+r"(turns) : : "cc");
    return counting_ticks() - before;
}
