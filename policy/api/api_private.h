/*
 * api_private - what the files of this folder share: each opens one class or module.
 */
#pragma once

#include "policy/api/services.h"
#include "policy/vm/vm_lua.h"

/* The services of the vm that L belongs to; raises where there is none (a policy being loaded). */
struct api_services *api_services_of(lua_State *L, const char *what);
/* The same, or NULL. */
struct api_services *api_services_find(lua_State *L);

/* Classes of this folder. */
enum api_class { API_CLASS_MEMO = VM_CLASS_OTHER, API_CLASS_DOMAIN_MAP, API_CLASS_HEADER_ADDRESSES,
                 API_CLASS_HEADER_ADDRESS, API_CLASS_COUNT };
_Static_assert((int)API_CLASS_COUNT <= (int)VM_CLASS_MAX, "the vm has room for so many");

/* Each adds to the kumo table at index 1. */
void api_setup_open(lua_State *L);
void api_dns_open(lua_State *L);
void api_address_open(lua_State *L);
void api_make_message_open(lua_State *L);
void api_time_open(lua_State *L);
void api_conn_meta_open(lua_State *L);
void api_memo_open(lua_State *L);
void api_memory_open(lua_State *L);
void api_domain_map_open(lua_State *L);
void api_header_address_open(lua_State *L);

/* Pushes the frozen form of the value at idx, which nobody will change; raises what cannot be
 * kept. And back: scalars as they are, a frozen table as an object over it. */
void api_freeze(lua_State *L, int idx);
void api_share(lua_State *L, int idx);

/* Methods of Message, by subject; message.c puts them into the class. */
extern const luaL_Reg api_message_envelope[];
extern const luaL_Reg api_message_meta[];
extern const luaL_Reg api_message_data[];
extern const luaL_Reg api_message_headers[];
extern const luaL_Reg api_message_imports[];
extern const luaL_Reg api_message_schedule[];

/* The message at index 1, whose data is in memory; raises when it is not. */
const struct message *api_check_loaded(lua_State *L);
/* The first header with that name, as it stands there; false when there is none. */
NODISCARD bool api_header_first(const struct message *m, struct slice name,
                                struct slice *raw_value_out);
/* The kept form of an address argument, text or EnvelopeAddress, in `out`; raises. */
void api_check_address(lua_State *L, int idx, unsigned flags, struct buf *out);
/* Leaves kumo.NAME on top of the stack, made if need be. */
void api_module(lua_State *L, const char *name);
/* Whether header `name` is one of the strings of the array at idx. */
bool api_name_listed(lua_State *L, int idx, struct slice name);
/* Raises unless the value at idx is an array of strings. */
void api_check_names(lua_State *L, int idx);
