/* The one translation unit that contains volk's code; built without warnings. */
#define VOLK_IMPLEMENTATION
#include <volk.h>
