/* form_json: any bytes to the JSON reader; form_text.h says what must hold. */
#include "form_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_text(data, size, "f.json");
}
