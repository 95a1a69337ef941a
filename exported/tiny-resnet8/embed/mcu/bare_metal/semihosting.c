#include "semihosting.h"

#include <string.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT_EXTENDED = 0x20,
    MODE_RB = 1,
    MODE_WB = 5,
    APPLICATION_EXIT = 0x20026
};

/* Asks the host; `block` is a pointer or, of some operations, a word. */
static int ask(int operation, uintptr_t block)
{
    register int r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = block;

    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static int open_file(const char *name, uint32_t mode)
{
    const uintptr_t block[3] = {(uintptr_t)name, mode, strlen(name)};

    return ask(SYS_OPEN, (uintptr_t)block);
}

static uint32_t transfer(int operation, int file, uintptr_t bytes, uint32_t count)
{
    const uintptr_t block[3] = {(uintptr_t)file, bytes, count};

    return (uint32_t)ask(operation, (uintptr_t)block);
}

void semihosting_exit(int status)
{
    const uintptr_t block[2] = {APPLICATION_EXIT, (uintptr_t)status};

    ask(SYS_EXIT_EXTENDED, (uintptr_t)block);
    for (;;) {
    }
}

void semihosting_print(const char *text)
{
    ask(SYS_WRITE0, (uintptr_t)text);
}

void semihosting_print_number(uint32_t number)
{
    char digits[11];
    char *first = digits + sizeof digits - 1;

    *first = '\0';
    do {
        *--first = (char)('0' + number % 10u);
        number /= 10u;
    } while (number != 0);
    semihosting_print(first);
}

int semihosting_open_to_read(const char *name)
{
    return open_file(name, MODE_RB);
}

int semihosting_open_to_write(const char *name)
{
    return open_file(name, MODE_WB);
}

uint32_t semihosting_read(int file, void *bytes, uint32_t count)
{
    return transfer(SYS_READ, file, (uintptr_t)bytes, count);
}

uint32_t semihosting_write(int file, const void *bytes, uint32_t count)
{
    return transfer(SYS_WRITE, file, (uintptr_t)bytes, count);
}

void semihosting_close(int file)
{
    const uintptr_t block[1] = {(uintptr_t)file};

    ask(SYS_CLOSE, (uintptr_t)block);
}
