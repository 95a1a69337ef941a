/* Semihosting: a program in an emulator or under a debugger uses its host's files and console.
 * https://github.com/ARM-software/abi-aa/blob/main/semihosting/semihosting.rst */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

/* Ends the program with an exit status. */
void semihosting_exit(int status) __attribute__((noreturn));

/* Prints a text, or a number. */
void semihosting_print(const char *text);
void semihosting_print_number(uint32_t number);

/* Opens a file of the host's current folder. Returns a handle, or -1. */
int semihosting_open_to_read(const char *name);
int semihosting_open_to_write(const char *name);

/* Return 0 where all the bytes were read or written, else how many were not. */
uint32_t semihosting_read(int file, void *bytes, uint32_t count);
uint32_t semihosting_write(int file, const void *bytes, uint32_t count);

void semihosting_close(int file);

#endif
