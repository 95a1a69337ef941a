/* Preloaded: answers the traps that masked.py put in the place of an engine's CPUID instructions, without the
   instruction sets that are to be hidden. Compiled with -DHIDE_AVX it also hides AVX and what builds on it. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#define BIT(n) (UINT32_C(1) << (n))

/* Intel, Software Developer's Manual, volume 2A, CPUID. */
static void hide(uint32_t leaf, uint32_t subleaf, uint32_t *eax, uint32_t *ebx, uint32_t *ecx, uint32_t *edx) {
    if (leaf == 7 && subleaf == 0) {
        /* AVX512F, DQ, IFMA, PF, ER, CD, BW, VL; VBMI, VBMI2, GFNI, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ;
           4VNNIW, 4FMAPS, VP2INTERSECT, AMX-BF16, AVX512-FP16, AMX-TILE, AMX-INT8. */
        *ebx &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
        *ecx &= ~(BIT(1) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14));
        *edx &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
#ifdef HIDE_AVX
        *ebx &= ~BIT(5); /* AVX2 */
#endif
    } else if (leaf == 7 && subleaf == 1) {
        /* AVX-VNNI, AVX512-BF16, AMX-FP16, AVX-IFMA; AVX-VNNI-INT8, AVX-NE-CONVERT, AVX-VNNI-INT16, AVX10. */
        *eax &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23));
        *edx &= ~(BIT(4) | BIT(5) | BIT(10) | BIT(19));
    }
#ifdef HIDE_AVX
    if (leaf == 1) {
        *ecx &= ~(BIT(12) | BIT(27) | BIT(28) | BIT(29)); /* FMA, OSXSAVE, AVX, F16C */
    }
#endif
}

static void answer(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)registers[REG_RIP];
    uint32_t leaf = (uint32_t)registers[REG_RAX], subleaf = (uint32_t)registers[REG_RCX];
    uint32_t eax, ebx, ecx, edx;
    (void)info;
    if (at[0] != 0x0f || at[1] != 0x0b) { /* not ours: as if there were no handler */
        signal(number, SIG_DFL);
        return;
    }
    __cpuid_count(leaf, subleaf, eax, ebx, ecx, edx);
    hide(leaf, subleaf, &eax, &ebx, &ecx, &edx);
    registers[REG_RAX] = eax;
    registers[REG_RBX] = ebx;
    registers[REG_RCX] = ecx;
    registers[REG_RDX] = edx;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGILL, &action, NULL);
}
