/* In place of LLVM's libunwind, which packaging/cross would link for the one thing that Rust's
   standard library wants of it in a program that never unwinds: the frames of a backtrace, when
   RUST_BACKTRACE is set. The static binaries have neither tables nor symbols to find and name
   frames by, so nothing is lost: there are always none.

   The other names are those that the standard library mentions in code which the linker then
   drops; missing, they would bring libunwind back. None can be reached. */

enum { END_OF_STACK = 5 };

int _Unwind_Backtrace(void) { return END_OF_STACK; }

#define NEVER(name) unsigned long name(void) { return 0; }
NEVER(_Unwind_DeleteException)
NEVER(_Unwind_FindEnclosingFunction)
NEVER(_Unwind_GetCFA)
NEVER(_Unwind_GetDataRelBase)
NEVER(_Unwind_GetGR)
NEVER(_Unwind_GetIP)
NEVER(_Unwind_GetIPInfo)
NEVER(_Unwind_GetLanguageSpecificData)
NEVER(_Unwind_GetRegionStart)
NEVER(_Unwind_GetTextRelBase)
NEVER(_Unwind_RaiseException)
NEVER(_Unwind_Resume)
NEVER(_Unwind_SetGR)
NEVER(_Unwind_SetIP)
#ifdef __arm__
NEVER(_Unwind_VRS_Get)
NEVER(_Unwind_VRS_Set)
NEVER(__aeabi_unwind_cpp_pr0)
NEVER(__aeabi_unwind_cpp_pr1)
NEVER(__aeabi_unwind_cpp_pr2)
NEVER(__gnu_unwind_frame)
#endif
