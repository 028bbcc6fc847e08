/*
 * What Debian's sparse 0.6.4 does not know and Linux 7.3 uses. Without the first
 * the kernel's make refuses it; the second is in an assertion of MODULE_INFO(),
 * which wants a constant.
 */
#define __typeof_unqual__ __typeof__
#define __builtin_strlen(string) (sizeof(string) - 1)
