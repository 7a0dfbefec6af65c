/* In place of the C library's, which writes the path of the thread's file in /proc with snprintf,
   and is the only one here that does. Rust's standard library names the calling thread alone, by
   at most 15 letters. */

#include <sys/prctl.h>

int pthread_setname_np(void *thread, const char *name) {
    (void)thread;
    return prctl(PR_SET_NAME, name);
}
