/* LuaJIT seeds the hash of its strings from the kernel's entropy, once for each state: the order
 * in which pairs() visits a table follows from it. In a simulated run the kernel has none. */
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

long __wrap_syscall(long number, ...)
{
    long args[6];
    va_list ap;

    va_start(ap, number);
    for (int i = 0; i < 6; i++) {
        args[i] = va_arg(ap, long);
    }
    va_end(ap);
    if (number == SYS_getrandom) {
        memset((void *)args[0], 0x5a, (size_t)args[1]);
        return args[1];
    }
    return __real_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}
