/* poison: tells AddressSanitizer which bytes of ours nobody may touch. Without it, nothing at all. */
#ifndef SP_BASE_POISON_H
#define SP_BASE_POISON_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SP_HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SP_HAS_ASAN 1
#endif

#if defined(SP_HAS_ASAN)
#include <sanitizer/asan_interface.h>
#define SP_POISON(ptr, bytes) __asan_poison_memory_region((ptr), (bytes))
#define SP_UNPOISON(ptr, bytes) __asan_unpoison_memory_region((ptr), (bytes))
#else
#define SP_POISON(ptr, bytes) ((void)(ptr), (void)(bytes))
#define SP_UNPOISON(ptr, bytes) ((void)(ptr), (void)(bytes))
#endif

#endif
