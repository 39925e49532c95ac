/* TCP and UDP echo (RFC 862) on port 7. */
#pragma once

void echo_start(void);
