"""The instruction sets that the processor itself reports, under an emulator the emulated ones.

/proc/cpuinfo will not do: an emulator of user programs passes the host's through.
"""

import ctypes
import mmap
import platform

_CODE = bytes.fromhex("53 49 89d0 89f8 89f1 0fa2 418900 41895804 41894808 4189500c 5b c3")
"""void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t registers[4]) in the System V calling convention:
push rbx; mov r8, rdx; mov eax, edi; mov ecx, esi; cpuid; store eax, ebx, ecx, edx at r8; pop rbx; ret."""
_EAX, _EBX, _ECX, _EDX = range(4)
_FLAGS = {
    "sse4_2": (1, 0, _ECX, 20), "fma": (1, 0, _ECX, 12), "f16c": (1, 0, _ECX, 29),
    "avx2": (7, 0, _EBX, 5), "avx512f": (7, 0, _EBX, 16), "avx512bw": (7, 0, _EBX, 30),
    "avx512_vnni": (7, 0, _ECX, 11), "avx_vnni": (7, 1, _EAX, 4), "avx512_bf16": (7, 1, _EAX, 5),
    "amx_bf16": (7, 0, _EDX, 22), "amx_int8": (7, 0, _EDX, 25),
}  # fmt: skip
"""Linux's names: leaf, subleaf, register, bit (Intel, Software Developer's Manual, CPUID)."""
_HWCAP, _HWCAP2 = 16, 26
"""Entries of the auxiliary vector (Linux, uapi/linux/auxvec.h)."""
_ARM_FLAGS = {"asimddp": (_HWCAP, 20), "sve": (_HWCAP, 22), "i8mm": (_HWCAP2, 13), "bf16": (_HWCAP2, 14)}
"""Linux's names: entry, bit (arch/arm64/include/uapi/asm/hwcap.h)."""


def cpuid_flags() -> tuple[str, ...]:
    """Returns those of the instruction sets that change results or speed which the processor reports.

    For x86-64 with the System V calling convention (Linux and macOS), and for arm64 on Linux.
    """
    return _arm_flags() if platform.machine() == "aarch64" else _x86_flags()


def _arm_flags() -> tuple[str, ...]:
    get = ctypes.CDLL(None).getauxval
    get.argtypes, get.restype = [ctypes.c_ulong], ctypes.c_ulong
    return tuple(name for name, (entry, bit) in _ARM_FLAGS.items() if get(entry) >> bit & 1)


def _x86_flags() -> tuple[str, ...]:
    with mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC) as page:
        page.write(_CODE)
        anchor = ctypes.c_char.from_buffer(page)
        prototype = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_void_p)
        call = prototype(ctypes.addressof(anchor))
        registers = (ctypes.c_uint32 * 4)()
        found = []
        call(0, 0, registers)
        last_leaf = registers[_EAX]
        for name, (leaf, subleaf, register, bit) in _FLAGS.items():
            if leaf > last_leaf:
                continue
            call(leaf, subleaf, registers)
            if registers[register] >> bit & 1:
                found.append(name)
        del call, anchor  # the page cannot be closed while something points into it
    return tuple(found)
