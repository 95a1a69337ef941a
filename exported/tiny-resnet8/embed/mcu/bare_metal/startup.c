/* Start of a program on a Cortex-M: vectors, memory, coprocessors, and a painted stack. */
#include "startup.h"
#include "semihosting.h"

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define COPROCESSORS (0xFu << 20) /* 10 and 11: floats, and the vectors of a Cortex-M55 */
#define PAINT 0xC0DEC0DEu
#define FAULT 120

extern uint32_t ld_data[], ld_data_end[], ld_bss[], ld_bss_end[], ld_stack_top[];
extern const uint32_t ld_data_source[];

int main(void);
void reset_handler(void);
void fault_handler(void);
void systick_handler(void) __attribute__((weak, alias("fault_handler")));

typedef void (*handler)(void);

__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    handler handlers[15];
} vectors = {
    ld_stack_top,
    {reset_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler, fault_handler,
     systick_handler},
};

/* The loops touch memory as volatile: a compiler makes calls to memset of others, which use the stack. */
void reset_handler(void)
{
    const uint32_t *source = ld_data_source;
    uint32_t *stack;

    CPACR |= COPROCESSORS;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
    for (volatile uint32_t *word = ld_data; word < ld_data_end; ++word) {
        *word = *source++;
    }
    for (volatile uint32_t *word = ld_bss; word < ld_bss_end; ++word) {
        *word = 0;
    }
    __asm__ volatile("mov %0, sp" : "=r"(stack));
    for (volatile uint32_t *word = ld_bss_end; word < stack; ++word) {
        *word = PAINT;
    }
    semihosting_exit(main());
}

void fault_handler(void)
{
    semihosting_exit(FAULT);
}

uint32_t stack_used(void)
{
    const volatile uint32_t *word = ld_bss_end;

    while (word < ld_stack_top && *word == PAINT) {
        ++word;
    }
    return (uint32_t)((uintptr_t)ld_stack_top - (uintptr_t)word);
}
