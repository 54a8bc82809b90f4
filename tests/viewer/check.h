/* cmocka for C++. */
#ifndef TESTS_VIEWER_CHECK_H
#define TESTS_VIEWER_CHECK_H

#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>

extern "C" {
#include <cmocka.h>
}

#endif
