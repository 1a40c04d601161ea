/*
 * api - everything a policy sees through require 'kumo' beyond the core of policy/vm.
 *
 * Owner     constant. Pass it to policy_load_library(), and give each vm its services.
 */
#pragma once

#include "policy/api/services.h"

struct vm_library;

const struct vm_library *api_library(void);
